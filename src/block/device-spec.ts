/**
 * What a person may write where a device is meant; parsed, not yet opened.
 *
 *     a.img, /dev/sdb             a file or block device
 *     8:16                        a block device by its numbers, as in any device-mapper table
 *     file:a.img,size=1G          the same file, made sparse with that size where it is missing
 *     memory:scratch,size=64M     memory of this process, gone with it
 */

import { parseByteSize } from '../base/byte-size.ts';
import { UserError } from '../base/failure.ts';

export interface FileSpec {
  readonly kind: 'file';
  readonly name: string;
  readonly path: string;
  /** Where the file is missing it may be made, so large. */
  readonly createBytes: number | null;
}

export interface MemorySpec {
  readonly kind: 'memory';
  readonly name: string;
  readonly sizeBytes: number;
}

export type DeviceSpec = FileSpec | MemorySpec;

/** @throws UserError with the code `bad-device`. */
export function parseDeviceSpec(text: string): DeviceSpec {
  if (text === '') throw badDevice(text, 'name must not be empty');
  if (text.includes('\0')) throw badDevice(text, 'name must not contain a NUL character');
  if (/^nbds?(\+[a-z]+)?:\/\//i.test(text)) {
    throw badDevice(text, 'it is on another server, must be on this machine');
  }
  if (text.startsWith('memory:')) {
    const { sizeBytes } = splitOptions(text, 'memory:');
    if (sizeBytes === null) throw badDevice(text, 'size is missing, must be given as ",size=64M"');
    // With its size, so that the name can be used again as it is printed.
    return { kind: 'memory', name: text, sizeBytes };
  }
  if (text.startsWith('file:')) {
    const { head, sizeBytes } = splitOptions(text, 'file:');
    return { kind: 'file', name: text, path: head, createBytes: sizeBytes };
  }
  const numbers = /^([0-9]{1,4}):([0-9]{1,7})$/.exec(text);
  const path = numbers === null ? text : `/dev/block/${numbers[1]}:${numbers[2]}`;
  return { kind: 'file', name: text, path, createBytes: null };
}

function splitOptions(text: string, prefix: string): { head: string; sizeBytes: number | null } {
  const [head, ...options] = text.slice(prefix.length).split(',');
  if (head === undefined || head === '') throw badDevice(text, `nothing follows "${prefix}"`);
  let sizeBytes: number | null = null;
  for (const option of options) {
    const value = /^size=(.*)$/.exec(option)?.[1];
    if (value === undefined)
      throw badDevice(text, `option "${option}" is unknown, only size is known`);
    sizeBytes = parseByteSize(value);
    if (sizeBytes === null || sizeBytes < 512 || sizeBytes % 512 !== 0) {
      throw badDevice(text, `size is "${value}", must be a multiple of 512 bytes such as 1G`);
    }
  }
  return { head, sizeBytes };
}

function badDevice(text: string, problem: string): UserError {
  return new UserError('bad-device', `Cannot use device "${text}": ${problem}`);
}
