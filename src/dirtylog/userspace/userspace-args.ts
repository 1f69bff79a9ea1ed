/**
 * The words of a userspace log, and its construction: what is refused, in the kernel's order and
 * with its messages (specification 1.2, 1.4 row 4f, 10.5).
 */

import { EINVAL, ENOENT, ENOSPC, ESRCH, errnoName, OK } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { LOG_REGIONS_MAX, REGION_SIZE_SECTORS_MIN } from '../../base/limits.ts';
import { isPowerOfTwo, type Region, type SectorCount, toSectorCount } from '../../base/units.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import type { TargetContext } from '../../dm/target-context.ts';
import { logError } from '../log-args.ts';
import type { LogKeeping } from './known-sync.ts';
import type { LogChannel } from './log-channel.ts';
import { LogSession } from './log-session.ts';
import { ULOG_REQUEST_DATA_BYTES_MAX, ULOG_UUID_BYTES_MAX, ulogTextBytes } from './ulog-codec.ts';
import {
  decodeCount,
  decodeDeviceName,
  ULOG_CTR,
  ULOG_DEVICE_NAME_BYTES_MAX,
  ULOG_DTR,
  ULOG_GET_REGION_SIZE,
} from './ulog-payloads.ts';

const TYPE = 'userspace';
const FORM = '<uuid> [integrated_flush] <implementation> <arguments>...';
const WORDS_MIN = 3;

export interface UserspaceArgs {
  readonly uuid: string;
  readonly integratedFlush: boolean;
  /** Also who else uses the log. */
  readonly keeping: LogKeeping;
  /** What the server is told: `<target length> <implementation> <arguments>`. */
  readonly ctrText: string;
  /** The log's part of a table line. */
  readonly tableText: string;
}

/** @throws UserError */
export function parseUserspaceArgs(
  args: readonly string[],
  targetSectors: SectorCount,
): UserspaceArgs {
  const [uuid, ...words] = args;
  if (uuid === undefined || args.length < WORDS_MIN) {
    throw logError(TYPE, 'log-arguments', {
      problem: `${args.length} log arguments are given, must be ${FORM}`,
      kernelMessage: 'Too few arguments to userspace dirty log',
    });
  }
  const uuidBytes = ulogTextBytes(uuid).length;
  if (uuidBytes > ULOG_UUID_BYTES_MAX) {
    throw logError(TYPE, 'log-uuid', {
      problem: `uuid has ${uuidBytes} bytes, must be at most ${ULOG_UUID_BYTES_MAX}`,
      kernelMessage: 'UUID argument too long.',
    });
  }
  const integratedFlush = words[0]?.toLowerCase() === 'integrated_flush';
  const rest = (integratedFlush ? words.slice(1) : words).join(' ');
  const flag = integratedFlush ? 'integrated_flush ' : '';
  return {
    uuid,
    integratedFlush,
    keeping: keepingOf(rest.split(' ', 1)[0]!),
    ctrText: `${targetSectors} ${rest}`,
    tableText: `${TYPE} ${args.length} ${uuid} ${flag}${rest}`,
  };
}

/** By the implementation; words that are not ours mean nothing. */
function keepingOf(implementation: string): LogKeeping {
  if (implementation === 'core' || implementation === 'disk') return 'one-node';
  return implementation.startsWith('clustered-') ? 'shared' : 'unknown';
}

export interface UserspaceConstruction {
  readonly channel: LogChannel | null;
  readonly target: TargetContext;
  readonly args: UserspaceArgs;
  readonly markedRegions: () => Iterable<Region>;
  readonly onServerChanged: () => void;
}

export interface ConstructedLog {
  readonly channel: LogChannel;
  readonly session: LogSession;
  readonly regionSizeSectors: SectorCount;
  /** The log's own, as the server named it; it is only listed. */
  readonly device: BlockDevice | null;
}

/** Makes the log at its server. @throws UserError; the server has forgotten the log again then. */
export async function constructUserspaceLog(
  construction: UserspaceConstruction,
): Promise<ConstructedLog> {
  const { channel, target, args, markedRegions, onServerChanged } = construction;
  checkText(args.ctrText);
  if (channel === null) {
    throw nobodyListens('no log server is given', 'Start the server with --log-server PATH.');
  }
  const { uuid, ctrText } = args;
  const session = new LogSession({ channel, uuid, ctrText, markedRegions, onServerChanged });
  const { result, data } = await session.construct();
  if (result === ESRCH) {
    throw nobodyListens(
      `no log server listens at "${channel.address}"`,
      'Start one with nbd-mirror logd.',
    );
  }
  if (result !== OK) throw refusedBy(channel, result, data);
  try {
    const regionSizeSectors = await askRegionSize(session, target.length);
    return { channel, session, regionSizeSectors, device: await openListed(target, data) };
  } catch (error) {
    // The kernel leaves the log at its server for ever (specification 10.5).
    await session.leave(ULOG_DTR);
    throw error;
  }
}

function checkText(text: string): void {
  const bytes = ulogTextBytes(text).length;
  if (bytes <= ULOG_REQUEST_DATA_BYTES_MAX) return;
  const problem =
    `length and arguments have ${bytes} bytes, ` +
    `must be at most ${ULOG_REQUEST_DATA_BYTES_MAX} with spaces`;
  throw notCreated('log-text-too-long', problem, {
    cause: logError(TYPE, 'log-text-too-long', {
      problem,
      kernelMessage: 'Size of tfr exceeds preallocated size',
    }),
  });
}

function nobodyListens(problem: string, hint: string): UserError {
  const kernelMessage = `Unable to send log request [${ULOG_CTR}] to userspace: -${ESRCH}`;
  return new UserError('log-server-missing', `Cannot create mirror log "${TYPE}": ${problem}`, {
    errno: ESRCH,
    hint,
    kernelMessage: 'Userspace log server not found',
    cause: logError(TYPE, 'log-server-missing', { problem, kernelMessage }),
  });
}

function refusedBy(channel: LogChannel, result: number, data: Uint8Array): UserError {
  const problem = `the log server at "${channel.address}" refuses it with ${errnoName(result)}`;
  if (result !== ENOSPC || data.length <= ULOG_DEVICE_NAME_BYTES_MAX) {
    return notCreated('log-refused', problem, { hint: hintOf(result) });
  }
  const kernelMessage =
    `Insufficient space to receive package [${ULOG_CTR}] ` +
    `(${data.length} vs ${ULOG_DEVICE_NAME_BYTES_MAX})`;
  return notCreated(
    'log-refused',
    `the log server at "${channel.address}" names a device of ${data.length} bytes`,
    { cause: logError(TYPE, 'log-refused', { problem, kernelMessage }) },
  );
}

/** The protocol carries a number only; the server has said the rest. */
function hintOf(result: number): string {
  const hint = 'Why, the log server says in its messages.';
  return result === ENOENT
    ? `${hint} Log devices are looked for where it runs; "nbd-mirror logd --create" makes them.`
    : hint;
}

function notCreated(
  code: string,
  problem: string,
  more: { readonly cause?: UserError; readonly hint?: string },
): UserError {
  return new UserError(code, `Cannot create mirror log "${TYPE}": ${problem}`, {
    errno: EINVAL,
    kernelMessage: 'Userspace log server failed to create log',
    ...more,
  });
}

async function askRegionSize(
  session: LogSession,
  targetSectors: SectorCount,
): Promise<SectorCount> {
  const { result, data } = await session.inquire(ULOG_GET_REGION_SIZE, 8);
  const { value: size, problem } =
    result === OK
      ? decodeCount(ULOG_GET_REGION_SIZE, data)
      : { value: null, problem: `the log server does not tell it: ${errnoName(result)}` };
  if (size === null) {
    throw logError(TYPE, 'log-region-size', {
      problem: `region size: ${problem}`,
      kernelMessage: 'Failed to get region size of dirty log',
    });
  }
  // The kernel takes any size, and then computes wrong regions of it (docs/quirks.md).
  if (size < REGION_SIZE_SECTORS_MIN || !isPowerOfTwo(size)) {
    const required = `must be a power of two >= ${REGION_SIZE_SECTORS_MIN}`;
    throw logError(TYPE, 'log-region-size', {
      problem: `region size is ${size} sectors, ${required}`,
      hint: 'The log server says so, from the arguments in the table.',
    });
  }
  if (Math.ceil(targetSectors / size) > LOG_REGIONS_MAX) {
    throw logError(TYPE, 'log-region-count', {
      problem: `regions of ${size} sectors are more than ${LOG_REGIONS_MAX}, must not be`,
    });
  }
  return toSectorCount(size);
}

/** For lists of what a table stands on; nobody here reads or writes it. */
async function openListed(target: TargetContext, data: Uint8Array): Promise<BlockDevice | null> {
  const { value: name, problem } = decodeDeviceName(data);
  if (problem !== null) {
    throw logError(TYPE, 'log-device', {
      problem,
      kernelMessage: 'DM_ULOG_CTR device return string not properly terminated',
    });
  }
  if (name === null) return null;
  try {
    return await target.getDevice(name, { listedOnly: true });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `Cannot create mirror log "${TYPE}": ${error.message}`, {
      errno: EINVAL,
      kernelMessage: `Failed to register ${name} with device-mapper`,
      cause: error,
    });
  }
}
