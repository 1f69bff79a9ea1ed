/** The other programs that transcripts use on devices, over an emulated machine. */

import { ENOENT, ENOSPC, EOPNOTSUPP, type IoResult, OK } from '../../../src/base/errno.ts';
import { SECTOR_SIZE } from '../../../src/base/units.ts';
import type { EmulatedMachine, IoOptions } from '../emulated-machine.ts';
import { errorText, failed, NotUnderstood, type Outcome, succeeded } from './outcome.ts';

/** Files of the machine that are not devices, by path. */
export type Files = Map<string, Uint8Array>;

interface DdArguments {
  readonly input: string;
  readonly output: string;
  readonly blockSize: number;
  readonly count: number | null;
  readonly skipBytes: number;
  readonly seekBytes: number;
  readonly fsync: boolean;
}

/** A side of dd: bytes of a file, a device, zeros, or nothing. */
type Side = { readonly bytes: Uint8Array } | { readonly device: string } | 'zero' | 'null';

export async function dd(
  machine: EmulatedMachine,
  files: Files,
  words: readonly string[],
): Promise<Outcome> {
  const args = parseDd(words);
  const input = sideOf(machine, files, args.input);
  const output = sideOf(machine, files, args.output);
  if (input === null || output === null) {
    const missing = input === null ? args.input : args.output;
    return failed(`dd: failed to open '${missing}': ${errorText(ENOENT)}`);
  }
  for (let block = 0; args.count === null || block < args.count; block++) {
    const at = block * args.blockSize;
    const got = await readBlock(machine, input, args.skipBytes + at, args.blockSize);
    if (got.result !== OK) {
      return failed(`dd: error reading '${args.input}': ${errorText(got.result)}`);
    }
    if (got.data.length === 0) break;
    const result = await writeBlock(machine, output, args.seekBytes + at, got.data);
    if (result !== OK) return failed(`dd: error writing '${args.output}': ${errorText(result)}`);
  }
  if (!args.fsync || typeof output === 'string' || !('device' in output)) return succeeded();
  const { result } = await machine.send(output.device, { op: 'flush' }).promise;
  if (result === OK) return succeeded();
  return failed(`dd: fsync failed for '${args.output}': ${errorText(result)}`);
}

function parseDd(words: readonly string[]): DdArguments {
  const operands = new Map<string, string>();
  for (const word of words) {
    const [, key, value] =
      /^(if|of|bs|count|skip|seek|iflag|oflag|conv|status)=(.+)$/.exec(word) ?? [];
    if (key === undefined || value === undefined) throw new NotUnderstood(`dd ${word}`);
    operands.set(key, value);
  }
  const flags = [operands.get('iflag'), operands.get('oflag')].flatMap(
    (list) => list?.split(',') ?? [],
  );
  const known = ['direct', 'fullblock', 'seek_bytes', 'skip_bytes'];
  const unknown = flags.find((flag) => !known.includes(flag));
  if (unknown !== undefined) throw new NotUnderstood(`dd with flag ${unknown}`);
  const conv = operands.get('conv');
  if (conv !== undefined && conv !== 'fsync') throw new NotUnderstood(`dd conv=${conv}`);
  const blockSize = size(operands.get('bs') ?? '512');
  const count = operands.get('count');
  const skip = size(operands.get('skip') ?? '0');
  const seek = size(operands.get('seek') ?? '0');
  return {
    input: operands.get('if') ?? '',
    output: operands.get('of') ?? '',
    blockSize,
    count: count === undefined ? null : size(count),
    skipBytes: flags.includes('skip_bytes') ? skip : skip * blockSize,
    seekBytes: flags.includes('seek_bytes') ? seek : seek * blockSize,
    fsync: conv === 'fsync',
  };
}

/** `4096`, `64K`, `1M`. */
export function size(word: string): number {
  const [, digits, unit] = /^(\d+)([KM]?)$/.exec(word) ?? [];
  if (digits === undefined) throw new NotUnderstood(`the number "${word}"`);
  return Number(digits) * (unit === 'K' ? 1024 : unit === 'M' ? 1024 * 1024 : 1);
}

function sideOf(machine: EmulatedMachine, files: Files, path: string): Side | null {
  if (path === '/dev/zero') return 'zero';
  if (path === '/dev/null') return 'null';
  if (machine.hasDevice(path)) return { device: path };
  const bytes = files.get(path);
  return bytes === undefined ? null : { bytes };
}

async function readBlock(
  machine: EmulatedMachine,
  from: Side,
  at: number,
  length: number,
): Promise<{ result: IoResult; data: Uint8Array }> {
  const nothing = new Uint8Array(0);
  if (from === 'null') return { result: OK, data: nothing };
  if (from === 'zero') return { result: OK, data: new Uint8Array(length) };
  if ('bytes' in from) return { result: OK, data: from.bytes.slice(at, at + length) };
  const end = machine.device(from.device).sizeSectors * SECTOR_SIZE;
  if (at >= end) return { result: OK, data: nothing };
  const { sector, count } = sectors(at, Math.min(length, end - at));
  const answer = await machine.send(from.device, { op: 'read', sector, count }).promise;
  return { result: answer.result, data: answer.data ?? nothing };
}

async function writeBlock(
  machine: EmulatedMachine,
  to: Side,
  at: number,
  data: Uint8Array,
): Promise<IoResult> {
  if (to === 'null') return OK;
  if (to === 'zero' || 'bytes' in to) throw new NotUnderstood('dd that writes to a plain file');
  if (at >= machine.device(to.device).sizeSectors * SECTOR_SIZE) return ENOSPC;
  const write: IoOptions = { op: 'write', ...sectors(at, data.length), data };
  const { result } = await machine.send(to.device, write).promise;
  return result;
}

function sectors(offset: number, length: number): { sector: number; count: number } {
  const [sector, count] = [offset / SECTOR_SIZE, length / SECTOR_SIZE];
  if (!Number.isInteger(sector) || !Number.isInteger(count)) {
    throw new NotUnderstood(`${length} bytes at ${offset}: not whole sectors`);
  }
  return { sector, count };
}

/** `blkdiscard -o OFFSET -l LENGTH DEVICE`; "not supported" the kernel keeps from whoever asked. */
export async function blkdiscard(
  machine: EmulatedMachine,
  words: readonly string[],
): Promise<Outcome> {
  const [o, offset = '', l, length = '', path = ''] = words;
  if (o !== '-o' || l !== '-l' || words.length !== 5) throw new NotUnderstood('this blkdiscard');
  const place = sectors(size(offset), size(length));
  const { result } = await machine.send(path, { op: 'discard', ...place }).promise;
  if (result === OK || result === EOPNOTSUPP) return succeeded();
  return failed(`blkdiscard: ${path}: BLKDISCARD ioctl failed: ${errorText(result)}`);
}

/** What a client of ours cannot ask for is null. */
export function blockdev(machine: EmulatedMachine, words: readonly string[]): Outcome {
  const device = machine.device(words.at(-1) ?? '');
  const blockSize = String(device.logicalBlockSize);
  const answers: Readonly<Record<string, string | null>> = {
    '--getsz': String(device.sizeSectors),
    '--getss': blockSize,
    '--getpbsz': null,
    '--getiomin': null,
    '--getioopt': null,
    '--getalignoff': null,
    '--getro': device.capabilities.readOnly ? '1' : '0',
  };
  return succeeded(
    words.slice(0, -1).map((word) => {
      const answer = answers[word];
      if (answer === undefined) throw new NotUnderstood(`blockdev ${word}`);
      return answer;
    }),
  );
}

/** `cmp -n LENGTH ONE OTHER` */
export async function cmp(machine: EmulatedMachine, words: readonly string[]): Promise<Outcome> {
  const [n, length = '', one = '', other = ''] = words;
  if (n !== '-n' || words.length !== 4) throw new NotUnderstood('this cmp');
  const { count } = sectors(0, size(length));
  const contents = [one, other].map(
    (path) => machine.send(path, { op: 'read', sector: 0, count }).promise,
  );
  const [first, second] = await Promise.all(contents);
  if (first?.result !== OK || second?.result !== OK) return failed('cmp: cannot read');
  const [left, right] = [first.data!, second.data!];
  const at = left.findIndex((byte, index) => byte !== right[index]);
  if (at < 0) return succeeded();
  const line = left.subarray(0, at).filter((byte) => byte === 10).length + 1;
  return failed(`${one} ${other} differ: byte ${at + 1}, line ${line}`);
}

/** `losetup --sector-size BYTES /dev/loopN FILE` */
export async function losetup(
  machine: EmulatedMachine,
  files: Files,
  words: readonly string[],
): Promise<Outcome> {
  const [option, blockSize = '', path = '', file = ''] = words;
  const minor = /^\/dev\/loop(\d+)$/.exec(path)?.[1];
  if (option !== '--sector-size' || minor === undefined) throw new NotUnderstood('this losetup');
  const bytes = files.get(file);
  if (bytes === undefined) throw new NotUnderstood(`the file ${file}, which nothing has made`);
  await machine.addDisk({
    path,
    number: `7:${minor}`,
    sizeSectors: bytes.length / SECTOR_SIZE,
    logicalBlockSize: size(blockSize),
  });
  return succeeded();
}
