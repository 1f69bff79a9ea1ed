import fc from 'fast-check';
import t from 'tap';
import { EIO, ENOSPC, EROFS } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';
import { faultMatch, formatFaultSpec, parseFaultSpec } from '../../src/fault/fault-spec.ts';

const parse = (text: string) => parseFaultSpec(text.split(' '));

t.test('parseFaultSpec() reads every kind with its options', async (t) => {
  t.match(parse('error'), { kind: 'error', op: 'all', count: null, after: 0, errno: EIO });
  t.match(parse('error --op write --count 3 --after 2 --sectors 8-15 --errno ENOSPC'), {
    op: 'write',
    count: 3,
    after: 2,
    sectors: { first: 8, last: 15 },
    errno: ENOSPC,
  });
  t.match(parse('error --probability 25% --seed 7'), { millionths: 250_000, seed: 7 });
  t.match(parse('delay --ms 100 --op flush'), { kind: 'delay', delayMs: 100, op: 'flush' });
  t.match(parse('hang --sectors 9'), { kind: 'hang', sectors: { first: 9, last: 9 } });
  t.match(parse('offline --errno EROFS'), { kind: 'offline', errno: EROFS });
});

t.test('parseFaultSpec() says of every bad word what is required', async (t) => {
  const cases: [text: string, message: RegExp][] = [
    ['', /kind is "", must be one of error, delay, hang, offline/],
    ['Error', /kind is "Error", must be one of/],
    ['error write', /"write" is no option of "error"/],
    ['error --op', /--op is given without a value/],
    ['error --op erase', /--op is "erase", must be one of read, write, flush, discard, all/],
    ['error --op toString', /--op is "toString"/],
    ['error --op read --op write', /--op is given twice/],
    ['error --count 0', /--count is "0", must be a whole number, 1 or more/],
    ['error --count -1', /--count is "-1"/],
    ['error --count 1e9', /--count is "1e9"/],
    ['error --after 99999999999999999999', /--after is/],
    ['error --sectors 9-8', /--sectors is "9-8", must be FIRST-LAST/],
    ['error --sectors 1-2-3', /--sectors is/],
    ['error --probability 0', /--probability is "0", must be above 0 and at most 1/],
    ['error --probability 1.5', /--probability is "1.5"/],
    ['error --probability 200%', /--probability is "200%"/],
    ['error --seed 3', /--seed is given without --probability/],
    ['error --errno OK', /--errno is "OK", must be the name of an error/],
    ['error --errno 5', /--errno is "5"/],
    ['error --ms 5', /"--ms" is no option of "error"/],
    ['delay', /a delay needs --ms/],
    ['delay --ms 1.5', /--ms is "1.5", must be a whole number, 0 to 3600000/],
    ['delay --ms 3600001', /--ms is/],
    ['hang --errno EIO', /"--errno" is no option of "hang"/],
    ['offline --op write', /"--op" is no option of "offline", which has --errno/],
  ];
  for (const [text, message] of cases) {
    t.throws(() => parse(text), { name: UserError.name, code: 'bad-fault', message }, text);
  }
  t.throws(() => parseFaultSpec([]), { message: /kind is missing/ });
  t.throws(() => parseFaultSpec(['error\n\0', ...'x'.repeat(9)]), {
    message: /kind is "error\\u000a\\u0000"/,
  });
});

t.test('parseFaultSpec() reads what formatFaultSpec() prints, as the same fault', async (t) => {
  const maybe = <T>(name: string, value: fc.Arbitrary<T>) =>
    fc.option(value.map((v) => `${name} ${v}`));
  const selecting = [
    maybe('--op', fc.constantFrom('read', 'write', 'flush', 'discard', 'all')),
    maybe('--count', fc.integer({ min: 1 })),
    maybe('--after', fc.nat()),
    maybe(
      '--sectors',
      fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `${a}-${a + b}`),
    ),
    fc.option(
      fc
        .tuple(fc.integer({ min: 1, max: 1_000_000 }), fc.nat())
        .map(([p, seed]) => `--probability ${(p / 1e6).toFixed(6)} --seed ${seed}`),
    ),
  ];
  const errno = maybe('--errno', fc.constantFrom('EIO', 'ENOSPC', 'EROFS'));
  const text = fc.oneof(
    fc.tuple(fc.constant('error'), ...selecting, errno),
    fc.tuple(
      fc.nat(3_600_000).map((ms) => `delay --ms ${ms}`),
      ...selecting,
    ),
    fc.tuple(fc.constant('hang'), ...selecting),
    fc.tuple(fc.constant('offline'), errno),
  );
  fc.assert(
    fc.property(text, (words) => {
      const spec = parse(words.filter((word) => word !== null).join(' '));
      t.strictSame(parse(formatFaultSpec(spec)), spec);
    }),
  );
});

t.test('faultMatch() counts sectors from where the target lies', async (t) => {
  const area = { start: 100, length: 50 };
  t.match(faultMatch(parse('error --sectors 0-9'), area), { extent: { sector: 100, count: 10 } });
  t.match(faultMatch(parse('error --op write'), area), {
    ops: ['write', 'write-zeroes'],
    extent: { sector: 100, count: 50 },
  });
  t.strictSame(faultMatch(parse('offline'), area), {}, 'a whole device is offline');
  t.throws(() => faultMatch(parse('error --sectors 40-50'), area), {
    message: /--sectors is 40-50, must be inside its 50 sectors/,
  });
});
