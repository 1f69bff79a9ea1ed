/**
 * What is special about a file that is a block device: its size, its blocks, and what its queue can
 * do.
 */

import { readFileSync } from 'node:fs';
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
