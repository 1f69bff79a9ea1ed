/**
 * The one gate for client requests: behind it nobody checks again. The order of the checks decides
 * which error a request with several faults gets, and is a contract (table test).
 *
 * Magic, DISC and the hard cap on payloads come before, in `transmission.ts`: they end the
 * connection.
 */

import { NBD_PAYLOAD_BYTES_ADVERTISED, NBD_PAYLOAD_BYTES_MAX } from '../../base/limits.ts';
import type { RequestFields } from '../codec/request-codec.ts';
import {
  COMMAND_FLAGS,
  COMMANDS,
  commandName,
  NBD_ERRORS,
  TRANSMISSION_FLAGS,
} from '../constants.ts';
import type { ReplyStyle } from './reply-style.ts';

/** Why a request is refused; made only then. */
export interface Refusal {
  readonly error: number;
  readonly text: string;
}

export interface RequestFacts {
  readonly size: number;
  readonly transmissionFlags: number;
  readonly replyStyle: ReplyStyle;
  /** Metadata contexts that are selected. */
  readonly contextCount: number;
  readonly stopping: boolean;
}

interface CommandRule {
  readonly name: string;
  /** Flags that are allowed, each with the promise that must have been made for it; 0: none. */
  readonly flags: readonly { readonly flag: number; readonly needs: number }[];
  readonly isWrite: boolean;
  /** Carries offset and length that must lie inside the export. */
  readonly hasRange: boolean;
  /** The error for a range that does not. */
  readonly rangeError: number;
  /** The promise that must have been made for the command itself; 0 for none. */
  readonly needs: number;
}

const FUA = { flag: COMMAND_FLAGS.FUA, needs: TRANSMISSION_FLAGS.SEND_FUA };
const { EINVAL, ENOSPC, ENOTSUP, EOVERFLOW, EPERM, ESHUTDOWN } = NBD_ERRORS;

const PLAIN = { flags: [FUA], isWrite: false, hasRange: true, rangeError: EINVAL, needs: 0 };

const RULES: ReadonlyMap<number, CommandRule> = new Map([
  [
    COMMANDS.READ,
    {
      ...PLAIN,
      name: 'READ',
      flags: [FUA, { flag: COMMAND_FLAGS.DF, needs: TRANSMISSION_FLAGS.SEND_DF }],
    },
  ],
  [COMMANDS.WRITE, { ...PLAIN, name: 'WRITE', isWrite: true, rangeError: ENOSPC }],
  [
    COMMANDS.FLUSH,
    { ...PLAIN, name: 'FLUSH', hasRange: false, needs: TRANSMISSION_FLAGS.SEND_FLUSH },
  ],
  [COMMANDS.TRIM, { ...PLAIN, name: 'TRIM', isWrite: true, needs: TRANSMISSION_FLAGS.SEND_TRIM }],
  [COMMANDS.CACHE, { ...PLAIN, name: 'CACHE', needs: TRANSMISSION_FLAGS.SEND_CACHE }],
  [
    COMMANDS.WRITE_ZEROES,
    {
      ...PLAIN,
      name: 'WRITE_ZEROES',
      flags: [
        FUA,
        { flag: COMMAND_FLAGS.NO_HOLE, needs: TRANSMISSION_FLAGS.SEND_WRITE_ZEROES },
        { flag: COMMAND_FLAGS.FAST_ZERO, needs: TRANSMISSION_FLAGS.SEND_FAST_ZERO },
      ],
      isWrite: true,
      rangeError: ENOSPC,
      needs: TRANSMISSION_FLAGS.SEND_WRITE_ZEROES,
    },
  ],
  [
    COMMANDS.BLOCK_STATUS,
    {
      ...PLAIN,
      name: 'BLOCK_STATUS',
      flags: [
        FUA,
        { flag: COMMAND_FLAGS.REQ_ONE, needs: 0 },
        { flag: COMMAND_FLAGS.PAYLOAD_LEN, needs: TRANSMISSION_FLAGS.BLOCK_STATUS_PAYLOAD },
      ],
    },
  ],
]);

/** `null` for a request that may be carried out. */
export function validateRequest(request: RequestFields, facts: RequestFacts): Refusal | null {
  const rule = RULES.get(request.command);
  if (rule === undefined) {
    return refuse(EINVAL, `${commandName(request.command)} is not supported`);
  }
  if (request.flags !== 0 && !flagsAllowed(rule, request, facts)) {
    const flags = request.flags.toString(16);
    return refuse(EINVAL, `${rule.name}: flags are 0x${flags}, must be negotiated ones`);
  }
  // A command that was not offered at all on a read-only export is still a write to it.
  if (rule.isWrite && (facts.transmissionFlags & TRANSMISSION_FLAGS.READ_ONLY) !== 0) {
    return refuse(EPERM, `${rule.name}: export is read-only`);
  }
  const refusal = rule.hasRange
    ? checkRange(rule, request, facts.size)
    : checkNoRange(rule, request);
  if (refusal !== null) return refusal;
  if (rule.needs !== 0 && (facts.transmissionFlags & rule.needs) === 0) {
    return refuse(EINVAL, `${rule.name} is not offered by this export`);
  }
  if (request.command === COMMANDS.READ) {
    const tooLong = checkReadLength(request);
    if (tooLong !== null) return tooLong;
  }
  if (request.command === COMMANDS.BLOCK_STATUS) {
    const refusal = checkStatus(request, facts);
    if (refusal !== null) return refusal;
  }
  if (facts.stopping) return refuse(ESHUTDOWN, `${rule.name}: server is stopping`);
  if ((request.flags & COMMAND_FLAGS.FAST_ZERO) !== 0) {
    return refuse(ENOTSUP, `${rule.name}: zeroes are written here, which is not fast`);
  }
  return null;
}

function flagsAllowed(rule: CommandRule, request: RequestFields, facts: RequestFacts): boolean {
  let allowed = 0;
  for (const { flag, needs } of rule.flags) {
    if (needs === 0 || (facts.transmissionFlags & needs) !== 0) allowed |= flag;
  }
  // With extended headers WRITE says so that it has a payload, which is so without the flag, too.
  const saysPayload = facts.replyStyle === 'extended' && request.command === COMMANDS.WRITE;
  if (saysPayload) allowed |= COMMAND_FLAGS.PAYLOAD_LEN;
  return (request.flags & ~allowed) === 0;
}

function checkRange(rule: CommandRule, request: RequestFields, size: number): Refusal | null {
  const { offset, length } = request;
  // In this form nothing can exceed what a number holds exactly.
  if (offset <= size && length <= size - offset) return null;
  return refuse(
    rule.rangeError,
    `${rule.name}: offset ${offset} with length ${length} is beyond the export's ${size} bytes`,
  );
}

function checkNoRange(rule: CommandRule, request: RequestFields): Refusal | null {
  if (request.offset === 0 && request.length === 0) return null;
  const { offset, length } = request;
  return refuse(EINVAL, `${rule.name}: offset is ${offset}, length is ${length}, must be 0`);
}

function checkStatus(request: RequestFields, facts: RequestFacts): Refusal | null {
  if (facts.contextCount === 0) {
    return refuse(EINVAL, 'BLOCK_STATUS: no metadata context is selected for this export');
  }
  if (request.length === 0) return refuse(EINVAL, 'BLOCK_STATUS: length is 0, must be positive');
  return null;
}

function checkReadLength(request: RequestFields): Refusal | null {
  if (request.length > NBD_PAYLOAD_BYTES_MAX) {
    return refuse(
      EINVAL,
      `READ: length is ${request.length} bytes, must be at most ${NBD_PAYLOAD_BYTES_MAX}`,
    );
  }
  const inOneChunk = (request.flags & COMMAND_FLAGS.DF) !== 0;
  if (inOneChunk && request.length > NBD_PAYLOAD_BYTES_ADVERTISED) {
    return refuse(
      EOVERFLOW,
      `READ: length is ${request.length} bytes, must be at most ` +
        `${NBD_PAYLOAD_BYTES_ADVERTISED} in one chunk`,
    );
  }
  return null;
}

function refuse(error: number, text: string): Refusal {
  return { error, text };
}
