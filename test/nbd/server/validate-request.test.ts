import t from 'tap';
import { COMMAND_FLAGS, COMMANDS, NBD_ERRORS } from '../../../src/nbd/constants.ts';
import { transmissionFlags } from '../../../src/nbd/server/export.ts';
import type { ReplyStyle } from '../../../src/nbd/server/reply-style.ts';
import { validateRequest } from '../../../src/nbd/server/validate-request.ts';

const { FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN } = COMMAND_FLAGS;
const { READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS } = COMMANDS;
const { EINVAL, ENOSPC, ENOTSUP, EOVERFLOW, EPERM, ESHUTDOWN } = NBD_ERRORS;
const SIZE = 100 * 2 ** 20;
const MIB = 2 ** 20;

interface Case {
  readonly command: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly readOnly?: boolean;
  readonly discard?: boolean;
  readonly structured?: boolean;
  readonly style?: ReplyStyle;
  readonly contexts?: number;
  readonly stopping?: boolean;
}

function errorOf(one: Case): number {
  const { command, flags = 0, offset = 0, length = 0 } = one;
  const replyStyle = one.style ?? (one.structured === true ? 'structured' : 'simple');
  const contextCount = one.contexts ?? 0;
  const refusal = validateRequest(
    { command, flags, offset, length, cookieHigh: 0, cookieLow: 0 },
    {
      size: SIZE,
      transmissionFlags: transmissionFlags({
        readOnly: one.readOnly ?? false,
        discard: one.discard ?? true,
        rotational: false,
        replyStyle,
        contextCount,
      }),
      replyStyle,
      contextCount,
      stopping: one.stopping ?? false,
    },
  );
  if (refusal !== null && refusal.text === '') throw new Error('A refusal without words');
  return refusal?.error ?? 0;
}

t.test('validateRequest() judges flags, ranges and promises', async (t) => {
  const status = { command: BLOCK_STATUS, style: 'structured', contexts: 1 } as const;
  const extendedWrite = { command: WRITE, flags: PAYLOAD_LEN, style: 'extended' } as const;
  for (const [what, one, error] of [
    ['READ', { command: READ, length: 512 }, 0],
    ['READ with FUA', { command: READ, flags: FUA, length: 512 }, 0],
    ['READ with DF unnegotiated', { command: READ, flags: DF, length: 512 }, EINVAL],
    ['READ with DF', { command: READ, flags: DF, length: 512, structured: true }, 0],
    ['READ with NO_HOLE', { command: READ, flags: NO_HOLE, length: 512 }, EINVAL],
    ['READ with REQ_ONE', { command: READ, flags: REQ_ONE, structured: true }, EINVAL],
    ['READ with an unknown flag', { command: READ, flags: 1 << 15 }, EINVAL],
    ['READ of the last byte', { command: READ, offset: SIZE - 1, length: 1 }, 0],
    ['READ one past the end', { command: READ, offset: SIZE - 1, length: 2 }, EINVAL],
    ['READ of nothing at the end', { command: READ, offset: SIZE }, 0],
    ['READ of nothing past the end', { command: READ, offset: SIZE + 1 }, EINVAL],
    ['READ that would wrap', { command: READ, offset: 2 ** 64 - 512, length: 1024 }, EINVAL],
    ['READ of 64 MiB', { command: READ, length: 64 * MIB }, 0],
    ['READ of more', { command: READ, length: 64 * MIB + 1 }, EINVAL],
    ['READ with DF of 32 MiB', { command: READ, flags: DF, length: 32 * MIB, structured: true }, 0],
    ['and more', { command: READ, flags: DF, length: 32 * MIB + 1, structured: true }, EOVERFLOW],
    ['READ of a read-only export', { command: READ, length: 1, readOnly: true }, 0],
    ['WRITE', { command: WRITE, length: 512 }, 0],
    ['WRITE with FUA', { command: WRITE, flags: FUA, length: 512 }, 0],
    ['WRITE with DF', { command: WRITE, flags: DF, structured: true }, EINVAL],
    ['WRITE with PAYLOAD_LEN', { command: WRITE, flags: PAYLOAD_LEN }, EINVAL],
    ['WRITE past the end', { command: WRITE, offset: SIZE, length: 1 }, ENOSPC],
    ['WRITE to a read-only export', { command: WRITE, length: 1, readOnly: true }, EPERM],
    ['FLUSH', { command: FLUSH }, 0],
    ['FLUSH with FUA', { command: FLUSH, flags: FUA }, 0],
    ['FLUSH with an offset', { command: FLUSH, offset: 1 }, EINVAL],
    ['FLUSH with a length', { command: FLUSH, length: 1 }, EINVAL],
    ['FLUSH of a read-only export', { command: FLUSH, readOnly: true }, 0],
    ['TRIM', { command: TRIM, length: SIZE }, 0],
    ['TRIM past the end', { command: TRIM, offset: 1, length: SIZE }, EINVAL],
    ['TRIM that is not offered', { command: TRIM, length: 1, discard: false }, EINVAL],
    ['TRIM of a read-only export', { command: TRIM, length: 1, readOnly: true }, EPERM],
    ['CACHE', { command: CACHE, length: SIZE }, 0],
    ['CACHE with an unknown flag', { command: CACHE, flags: 1 << 9 }, EINVAL],
    ['CACHE past the end', { command: CACHE, length: SIZE + 1 }, EINVAL],
    ['WRITE_ZEROES', { command: WRITE_ZEROES, length: SIZE }, 0],
    ['WRITE_ZEROES with NO_HOLE, FUA', { command: WRITE_ZEROES, flags: NO_HOLE | FUA }, 0],
    ['WRITE_ZEROES with FAST_ZERO', { command: WRITE_ZEROES, flags: FAST_ZERO }, ENOTSUP],
    ['WRITE_ZEROES past the end', { command: WRITE_ZEROES, length: SIZE + 1 }, ENOSPC],
    ['WRITE_ZEROES, read-only', { command: WRITE_ZEROES, length: 1, readOnly: true }, EPERM],
    ['WRITE with NO_HOLE', { command: WRITE, flags: NO_HOLE }, EINVAL],
    ['BLOCK_STATUS unselected', { command: BLOCK_STATUS, length: 512, structured: true }, EINVAL],
    ['BLOCK_STATUS', { ...status, length: SIZE }, 0],
    ['BLOCK_STATUS with REQ_ONE, FUA', { ...status, length: 1, flags: REQ_ONE | FUA }, 0],
    ['BLOCK_STATUS with DF', { ...status, length: 1, flags: DF }, EINVAL],
    ['BLOCK_STATUS with PAYLOAD_LEN', { ...status, length: 1, flags: PAYLOAD_LEN }, EINVAL],
    ['the same, extended', { ...status, length: 1, flags: PAYLOAD_LEN, style: 'extended' }, 0],
    ['BLOCK_STATUS of nothing', { ...status, length: 0 }, EINVAL],
    ['BLOCK_STATUS past the end', { ...status, offset: 1, length: SIZE }, EINVAL],
    ['BLOCK_STATUS of a read-only export', { ...status, length: 1, readOnly: true }, 0],
    ['WRITE with PAYLOAD_LEN, extended', { ...extendedWrite, length: 512 }, 0],
    ['READ with PAYLOAD_LEN, extended', { ...extendedWrite, command: READ, length: 1 }, EINVAL],
    ['TRIM of 2^64-1 bytes', { command: TRIM, length: 2 ** 64 - 1, style: 'extended' }, EINVAL],
    ['RESIZE', { command: 8, offset: SIZE }, EINVAL],
    ['an unknown command', { command: 65_535 }, EINVAL],
  ] as const) {
    t.equal(errorOf(one), error, what);
  }
});

t.test('validateRequest() checks in the order of the protocol', async (t) => {
  // Each row has one fault less than the row before, and gets the error of the first that is left.
  const zero = { command: WRITE_ZEROES, offset: SIZE, length: 1, readOnly: true, stopping: true };
  t.equal(errorOf({ ...zero, flags: FAST_ZERO | DF }), EINVAL, 'flags before read-only');
  t.equal(errorOf(zero), EPERM, 'read-only before the range');
  const writable = { ...zero, readOnly: false, flags: FAST_ZERO };
  t.equal(errorOf(writable), ENOSPC, 'the range before stopping');
  t.equal(errorOf({ ...writable, offset: 0 }), ESHUTDOWN, 'stopping before running');
  t.equal(errorOf({ ...writable, offset: 0, stopping: false }), ENOTSUP);
  const trim = { command: TRIM, length: 1, discard: false, stopping: true };
  t.equal(errorOf(trim), EINVAL, 'what is not offered before stopping');
  t.equal(errorOf({ command: READ, stopping: true }), ESHUTDOWN);
  const status = { command: BLOCK_STATUS, length: 1, stopping: true, structured: true };
  t.equal(errorOf(status), EINVAL, 'a selection before stopping');
  t.equal(errorOf({ ...status, contexts: 1 }), ESHUTDOWN);
});
