/**
 * What is special about a file that is a block device: its size, its blocks, and what its queue can
 * do.
 */

import { existsSync, readFileSync } from 'node:fs';
import type { SpaceCalls } from './file-device.ts';
import { nativeCalls } from './native-calls.ts';

export interface BlockDeviceFacts {
  readonly sizeBytes: number;
  readonly logicalBlockSize: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly space: SpaceCalls;
}

/**
 * The facts of the block device open at `fd`, or an errno. `rdev` is its number as `stat` gives it.
 */
export function blockDeviceFacts(fd: number, rdev: number): BlockDeviceFacts | number {
  const calls = nativeCalls();
  const geometry = calls.blockGeometry(fd);
  if (typeof geometry === 'number') return geometry;
  const queue = `/sys/dev/block/${majorOf(rdev)}:${minorOf(rdev)}`;
  const discards = queueValue(queue, 'discard_max_bytes') > 0;
  const zeroes = queueValue(queue, 'write_zeroes_max_bytes') > 0;
  return {
    sizeBytes: geometry.size,
    logicalBlockSize: geometry.logicalBlockSize,
    readOnly: geometry.readOnly,
    rotational: queueValue(queue, 'rotational') > 0,
    space: {
      discard: discards ? calls.blockDiscard : null,
      writeZeroes: zeroes ? calls.zeroRange : null,
    },
  };
}

/**
 * Where a block device is that is known by its numbers, `/dev/block/8:16`: udev makes these links,
 * and where it does not run the system knows the name all the same. Other paths as they are.
 */
export function pathOfBlockDevice(path: string): string {
  const numbers = /^\/dev\/block\/(\d+:\d+)$/.exec(path)?.[1];
  if (numbers === undefined || existsSync(path)) return path;
  try {
    const facts = readFileSync(`/sys/dev/block/${numbers}/uevent`, 'utf8');
    const name = /^DEVNAME=(.+)$/m.exec(facts)?.[1];
    return name === undefined ? path : `/dev/${name}`;
  } catch {
    return path;
  }
}

/** True of a path whose file would be memory of the system, and not what anybody meant. */
export function isAmongDevices(path: string): boolean {
  return path.startsWith('/dev/') && !path.startsWith('/dev/shm/');
}

/** 0 where the system does not tell. A partition has its disk's queue. */
function queueValue(sysfsPath: string, name: string): number {
  for (const path of [`${sysfsPath}/queue/${name}`, `${sysfsPath}/../queue/${name}`]) {
    try {
      return Number(readFileSync(path, 'utf8'));
    } catch {
      // Not there: try the next place.
    }
  }
  return 0;
}

/** As glibc packs them: 12 + 20 bits of major, 8 + 24 bits of minor. */
function majorOf(rdev: number): number {
  return Math.floor(rdev / 2 ** 8) % 2 ** 12;
}

function minorOf(rdev: number): number {
  return (rdev % 2 ** 8) + (Math.floor(rdev / 2 ** 20) % 2 ** 24) * 2 ** 8;
}
