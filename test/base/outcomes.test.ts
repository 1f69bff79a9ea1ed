/** The small values by which the product says what went wrong. */

import t from 'tap';
import { AssertionFailure, assert, maybe, unreachable } from '../../src/base/assert.ts';
import { isPromise } from '../../src/base/awaitable.ts';
import { EIO, ENOSPC, errnoName, errnoOfError, OK } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';

t.test('errnoName() names what it knows and numbers the rest', async (t) => {
  t.equal(errnoName(OK), 'OK');
  t.equal(errnoName(ENOSPC), 'ENOSPC');
  t.equal(errnoName(999), 'errno 999');
});

t.test('errnoOfError() is positive, and EIO where nothing is known', async (t) => {
  t.equal(errnoOfError(Object.assign(new Error('full'), { errno: -28 })), ENOSPC);
  t.equal(errnoOfError(Object.assign(new Error('full'), { errno: 28 })), ENOSPC);
  for (const odd of [
    new Error('no number'),
    { errno: 0 },
    { errno: 'EIO' },
    null,
    undefined,
    'x',
  ]) {
    t.equal(errnoOfError(odd), EIO);
  }
});

t.test('assert() and unreachable() throw with their message, maybe() never does', async (t) => {
  t.doesNotThrow(() => assert(true, 'fine'));
  t.throws(() => assert(false, 'broken'), new AssertionFailure('broken'));
  t.throws(() => unreachable('here'), new AssertionFailure('here'));
  t.doesNotThrow(() => maybe(true));
  t.doesNotThrow(() => maybe(false));
});

t.test('UserError carries what an operator and a program need', async (t) => {
  const cause = new Error('below');
  const error = new UserError('leg-too-small', 'Cannot create', { hint: 'Grow it.', cause });
  t.match(error, { name: 'UserError', code: 'leg-too-small', hint: 'Grow it.', cause });
  t.equal(error.kernelMessage, undefined);
  t.equal('cause' in new UserError('x', 'y'), false);
});

t.test('isPromise() tells a promise from a value', async (t) => {
  t.equal(isPromise(Promise.resolve(0)), true);
  t.equal(isPromise(0), false);
});
