/**
 * Opens what a `DeviceSpec` names. Whatever is wrong with it is told here, at start, with its name
 * and what is required; nothing is written to a thing that exists.
 *
 * A device that may be written is locked against everybody else, one that is only read against
 * writers. Nodes that share a mirror lock what they share against all but each other.
 */

import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  type Stats,
  statfsSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  EACCES,
  EAGAIN,
  EBUSY,
  EEXIST,
  EISDIR,
  ENOENT,
  ENOTDIR,
  EPERM,
  EROFS,
  errnoName,
  errnoOfError,
  type IoResult,
  OK,
} from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { bytesToSectors, SECTOR_SIZE, sectorsToBytes } from '../base/units.ts';
import type { BlockDevice } from './block-device.ts';
import { type DeviceSpec, type FileSpec, parseDeviceSpec } from './device-spec.ts';
import { blockDeviceFacts, isAmongDevices, pathOfBlockDevice } from './file/block-device-file.ts';
import { FileDevice, type SpaceCalls } from './file/file-device.ts';
import { lockFile, lockHolder } from './file/file-lock.ts';
import type { AioPolicy, LaneMeter } from './file/lane.ts';
import { nativeCalls } from './file/native-calls.ts';
import { MemoryDevice } from './memory-device.ts';

export interface OpenDeviceOptions {
  readonly readOnly: boolean;
  /** Makes a missing file of this many bytes, sparse. */
  readonly create?: number;
  readonly aio?: AioPolicy;
  /** Milliseconds, by which slow storage is noticed (`Clock.now`). */
  readonly now?: () => number;
  /** False: look at it although somebody may be writing to it. Only for reading. */
  readonly lock?: boolean;
  /** Written together with others who also say so: nodes that share a mirror. */
  readonly shared?: boolean;
}

export interface OpenedDevice extends BlockDevice {
  /** Equal for two names of the same file or block device. */
  readonly identity: string;
}

/** Memory devices beyond this keep only what was written. */
const FLAT_MEMORY_BYTES_MAX = 64 * 1024 * 1024;

/** File systems without storage (statfs(2)): tmpfs, ramfs. */
const VOLATILE_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** @throws UserError; its code names the reason, e.g. `device-missing`. */
export async function openDevice(
  spec: string | DeviceSpec,
  options: OpenDeviceOptions,
): Promise<OpenedDevice> {
  const parsed = describe(spec);
  if (parsed.kind === 'memory') {
    return new MemoryDevice({
      name: parsed.name,
      sizeSectors: bytesToSectors(parsed.sizeBytes),
      readOnly: options.readOnly,
      sparse: parsed.sizeBytes > FLAT_MEMORY_BYTES_MAX,
    });
  }
  const fd = openChecked(parsed, options);
  try {
    return await deviceOver(fd, parsed, options);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** What `openDevice` would give as `identity`, without opening. @throws UserError as it does. */
export async function identifyDevice(spec: string | DeviceSpec): Promise<string> {
  const parsed = describe(spec);
  if (parsed.kind === 'memory') return parsed.name;
  const stats = statOrNull(parsed);
  if (stats === null) throw openError(parsed, ENOENT, true);
  return identityOf(stats);
}

/** Makes the file where it is missing; true if it was made. @throws UserError when it cannot be. */
export function createMissing(spec: string | DeviceSpec, sizeBytes: number): boolean {
  const parsed = describe(spec);
  if (parsed.kind === 'memory' || statOrNull(parsed) !== null) return false;
  try {
    closeSync(createSparse(parsed, sizeBytes));
    return true;
  } catch (error) {
    // Another node that shares the log was quicker.
    if (error instanceof UserError && error.errno === EEXIST) return false;
    throw error;
  }
}

function describe(spec: string | DeviceSpec): DeviceSpec {
  const parsed = typeof spec === 'string' ? parseDeviceSpec(spec) : spec;
  if (parsed.kind === 'memory') return parsed;
  return { ...parsed, path: pathOfBlockDevice(parsed.path) };
}

function openChecked(spec: FileSpec, options: OpenDeviceOptions): number {
  const stats = statOrNull(spec);
  if (stats !== null) {
    requireUsableKind(spec, stats);
    // O_EXCL on a block device: nobody has it mounted or otherwise in use.
    const isAlone = !options.readOnly && options.shared !== true;
    const excl = stats.isBlockDevice() && isAlone ? constants.O_EXCL : 0;
    const mode = options.readOnly ? constants.O_RDONLY : constants.O_RDWR;
    try {
      return openSync(spec.path, mode | excl);
    } catch (error) {
      throw openError(spec, errnoOfError(error), options.readOnly);
    }
  }
  const createBytes = options.create ?? spec.createBytes;
  if (createBytes === null || options.readOnly) throw openError(spec, ENOENT, options.readOnly);
  return createSparse(spec, createBytes);
}

function createSparse(spec: FileSpec, sizeBytes: number): number {
  if (isAmongDevices(resolve(spec.path))) {
    throw new UserError(
      'device-missing',
      `Cannot create "${spec.name}": it would be a file in /dev, must be a device that exists`,
      { errno: ENOENT },
    );
  }
  let fd: number;
  try {
    fd = openSync(spec.path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o644);
  } catch (error) {
    throw openError(spec, errnoOfError(error), false);
  }
  try {
    ftruncateSync(fd, sizeBytes);
    // The name must outlive a power cut just as the data that will be acknowledged.
    fsyncSync(fd);
    const directory = openSync(dirname(resolve(spec.path)), constants.O_RDONLY);
    fsyncSync(directory);
    closeSync(directory);
    return fd;
  } catch (error) {
    closeSync(fd);
    unlinkSync(spec.path);
    const reason = errnoName(errnoOfError(error));
    throw new UserError(
      'device-create-failed',
      `Cannot create "${spec.name}" of ${sizeBytes} bytes: ${reason}`,
      { errno: errnoOfError(error), cause: error },
    );
  }
}

async function deviceOver(
  fd: number,
  spec: FileSpec,
  options: OpenDeviceOptions,
): Promise<FileDevice> {
  const stats = fstatSync(fd);
  requireUsableKind(spec, stats);
  if (options.lock !== false || !options.readOnly) await lockOrExplain(fd, spec, stats, options);
  const facts = stats.isBlockDevice() ? blockFacts(fd, spec, stats) : fileFacts(fd, stats, options);
  const sizeSectors = bytesToSectors(facts.sizeBytes);
  if (sizeSectors === 0) {
    throw new UserError(
      'device-too-short',
      `Cannot open "${spec.name}": size is ${facts.sizeBytes} bytes, ` +
        `must be at least ${SECTOR_SIZE}`,
    );
  }
  if (facts.readOnly && !options.readOnly) throw openError(spec, EROFS, false);
  return new FileDevice({
    name: spec.name,
    fd,
    identity: identityOf(stats),
    sizeSectors,
    logicalBlockSize: facts.logicalBlockSize,
    readOnly: options.readOnly,
    rotational: facts.rotational,
    isVolatile: facts.isVolatile,
    space: facts.space,
    aio: options.aio ?? 'auto',
    meter: meterOf(options),
  });
}

function meterOf({ now }: OpenDeviceOptions): LaneMeter | null {
  if (now === undefined) return null;
  const calls = nativeCalls();
  return { now, waitCount: () => calls.voluntarySwitches() };
}

interface Facts {
  readonly sizeBytes: number;
  readonly logicalBlockSize: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly isVolatile: boolean;
  readonly space: SpaceCalls;
}

function blockFacts(fd: number, spec: FileSpec, stats: Stats): Facts {
  const facts = blockDeviceFacts(fd, stats.rdev);
  if (typeof facts === 'number') throw openError(spec, facts, true);
  return { ...facts, isVolatile: false };
}

function fileFacts(fd: number, stats: Stats, options: OpenDeviceOptions): Facts {
  return {
    sizeBytes: stats.size,
    logicalBlockSize: SECTOR_SIZE,
    readOnly: false,
    rotational: false,
    isVolatile: VOLATILE_FILE_SYSTEMS.has(statfsSync(`/proc/self/fd/${fd}`).type),
    space: options.readOnly ? { discard: null, writeZeroes: null } : holePunching(fd, stats.size),
  };
}

/** A hole reads as zeros, so that it serves for zeroing, too. */
function holePunching(fd: number, sizeBytes: number): SpaceCalls {
  const calls = nativeCalls();
  // A hole behind the end changes nothing, but tells whether the file system can make one.
  const isAble = calls.punchHole.now(fd, Math.ceil(sizeBytes / 4096) * 4096, 4096) === OK;
  const punch = isAble ? calls.punchHole : null;
  return { discard: punch, writeZeroes: punch };
}

async function lockOrExplain(
  fd: number,
  spec: FileSpec,
  stats: Stats,
  options: OpenDeviceOptions,
): Promise<void> {
  const isShared = options.readOnly || options.shared === true;
  const result = await lockFile(fd, isShared ? 'shared' : 'exclusive');
  if (result === OK) return;
  // Everything else means that the file system has no locks: then the operator must take care.
  if (result !== EAGAIN) return;
  const holder = lockHolder(stats.ino);
  const who = holder === null ? 'another process' : `process ${holder}`;
  throw new UserError(
    'device-busy',
    `Cannot open "${spec.name}": it is locked by ${who}, must not be in use by another server`,
    { errno: EBUSY, hint: 'Stop the other server first, or name another file.' },
  );
}

function statOrNull(spec: FileSpec): Stats | null {
  try {
    return statSync(spec.path);
  } catch (error) {
    const errno = errnoOfError(error);
    if (errno === ENOENT) return null;
    throw openError(spec, errno, true);
  }
}

function identityOf(stats: Stats): string {
  return stats.isBlockDevice() ? `block:${stats.rdev}` : `file:${stats.dev}:${stats.ino}`;
}

function requireUsableKind(spec: FileSpec, stats: Stats): void {
  if (stats.isFile() || stats.isBlockDevice()) return;
  if (stats.isDirectory()) throw openError(spec, EISDIR, true);
  throw new UserError(
    'device-not-a-file',
    `Cannot open "${spec.name}": it is a ${kindOf(stats)}, must be a file or a block device`,
  );
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'named pipe';
  if (stats.isSocket()) return 'socket';
  return 'character device';
}

function openError(spec: FileSpec, errno: IoResult, readOnly: boolean): UserError {
  const cannot = `Cannot open "${spec.name}"`;
  switch (errno) {
    case ENOENT: {
      // Whole: who asked for it may be in another directory than this process.
      const path = resolve(spec.path);
      const directory = dirname(path);
      const isThere = existsSync(directory) || isAmongDevices(path);
      const missing = isThere ? 'it does not exist' : `no directory "${directory}"`;
      return new UserError('device-missing', `${cannot}: ${missing}, must be there`, {
        errno,
        hint: isAmongDevices(path)
          ? 'See "lsblk" for the block devices that there are.'
          : `Make it first, with "truncate -s SIZE ${path}"; ` +
            '"serve --create" makes legs and logs.',
      });
    }
    case EISDIR:
      return new UserError(
        'device-is-directory',
        `${cannot}: it is a directory, must be a file or a block device`,
        { errno },
      );
    case ENOTDIR:
      return new UserError('device-missing', `${cannot}: a part of its path is no directory`, {
        errno,
      });
    case EACCES:
    case EPERM:
      return new UserError(
        'device-permission',
        `${cannot}: permission denied, must be ${readOnly ? 'readable' : 'readable and writable'}`,
        { errno },
      );
    case EROFS:
      return new UserError('device-read-only', `${cannot}: it is read-only, must be writable`, {
        errno,
        hint: 'With --read-only nothing is opened for writing.',
      });
    case EBUSY:
      return new UserError(
        'device-busy',
        `${cannot}: it is mounted or otherwise in use, must be unused`,
        { errno },
      );
    default:
      return new UserError('device-open-failed', `${cannot}: ${errnoName(errno)}`, { errno });
  }
}

/** The size in bytes of a file or block device, or null where there is none. @throws UserError */
export async function measureDevice(spec: string | DeviceSpec): Promise<number | null> {
  const parsed = describe(spec);
  if (parsed.kind === 'memory') return parsed.sizeBytes;
  const stats = statOrNull(parsed);
  if (stats === null || stats.isFile()) return stats?.size ?? null;
  const device = await openDevice(parsed, { readOnly: true, lock: false });
  const bytes = sectorsToBytes(device.sizeSectors);
  await device.close();
  return bytes;
}
