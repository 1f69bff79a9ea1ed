/**
 * The short form of `serve`: builds one mirror table line from options, and nothing else. Whatever
 * is wrong with the line itself is told by those who read tables.
 */

import { parseByteSize } from '../../base/byte-size.ts';
import { UserError } from '../../base/failure.ts';
import { bytesToSectors, SECTOR_SIZE } from '../../base/units.ts';
import { formatTableLine } from '../../dm/table-line.ts';
import type { ServeOptions } from './serve-options.ts';

const REGION_SIZE_DEFAULT = '512K';

export interface ShortLeg {
  readonly device: string;
  readonly offsetBytes: number;
}

/** True if any option of the short form was used. */
export function usesShortForm(options: ServeOptions): boolean {
  const { size, leg, log, regionSize, handleErrors, keepLog, sync } = options;
  const given = [size, log, regionSize, sync].some((value) => value !== undefined);
  return given || leg.length > 0 || handleErrors || keepLog;
}

/**
 * The table line. `measure` gives the bytes of a leg that exists, or null: without `--size` the
 * mirror is as large as its smallest leg.
 *
 * @throws UserError naming the option.
 */
export async function buildTableLine(
  options: ServeOptions,
  measure: (device: string) => Promise<number | null>,
): Promise<string> {
  if (options.leg.length < 2) {
    throw new UserError(
      'too-few-legs',
      `Cannot make a mirror: --leg is given ${times(options.leg.length)}, must be 2 to 9 times`,
      { hint: 'For example --leg a.img --leg b.img; or give a whole table with --table.' },
    );
  }
  const legs = options.leg.map(parseShortLeg);
  const bytes =
    options.size === undefined
      ? await smallestLeg(legs, measure)
      : parseSectors('--size', options.size);
  const regionBytes = parseRegionSize(options.regionSize ?? REGION_SIZE_DEFAULT);
  const syncWord = options.sync === undefined ? [] : [options.sync ? 'sync' : 'nosync'];
  const logArgs = [
    ...logDevice(options.log ?? 'core'),
    `${regionBytes / SECTOR_SIZE}`,
    ...syncWord,
  ];
  const features = [
    ...(options.handleErrors ? ['handle_errors'] : []),
    ...(options.keepLog ? ['keep_log'] : []),
  ];
  return formatTableLine({
    start: 0,
    length: bytesToSectors(bytes),
    type: 'mirror',
    args: [
      ...[logArgs.length === 1 + syncWord.length ? 'core' : 'disk', `${logArgs.length}`],
      ...logArgs,
      `${legs.length}`,
      ...legs.flatMap(({ device, offsetBytes }) => [device, `${offsetBytes / SECTOR_SIZE}`]),
      ...(features.length === 0 ? [] : [`${features.length}`, ...features]),
    ],
  });
}

/** `PATH` or `PATH,offset=SIZE`. */
export function parseShortLeg(text: string): ShortLeg {
  const match = /^(.*),offset=([^,]*)$/.exec(text);
  if (match === null) return { device: text, offsetBytes: 0 };
  return { device: match[1]!, offsetBytes: parseSectors(`--leg ${text}: offset`, match[2]!, 0) };
}

function logDevice(log: string): string[] {
  if (log === 'core') return [];
  if (log.startsWith('disk:') && log.length > 'disk:'.length) return [log.slice('disk:'.length)];
  throw new UserError(
    'bad-log',
    `Cannot make a mirror: --log is "${log}", must be core or disk:PATH`,
  );
}

function parseSectors(what: string, text: string, min = SECTOR_SIZE): number {
  const bytes = parseByteSize(text);
  if (bytes !== null && bytes >= min && bytes % SECTOR_SIZE === 0) return bytes;
  throw new UserError(
    'bad-size',
    `Cannot make a mirror: ${what} is "${text}", must be a multiple of 512 bytes such as 1G`,
  );
}

/** Of the kernel's rules the ones that need no table to be known. */
function parseRegionSize(text: string): number {
  const bytes = parseByteSize(text);
  if (bytes !== null && bytes >= 2 * SECTOR_SIZE && Number.isInteger(Math.log2(bytes)))
    return bytes;
  throw new UserError(
    'bad-size',
    `Cannot make a mirror: --region-size is "${text}", must be a power of two, at least 1K, ` +
      'such as 512K',
  );
}

async function smallestLeg(
  legs: readonly ShortLeg[],
  measure: (device: string) => Promise<number | null>,
): Promise<number> {
  let smallest = Number.POSITIVE_INFINITY;
  let smallestName = '';
  for (const { device, offsetBytes } of legs) {
    const bytes = await measure(device);
    if (bytes === null) {
      throw new UserError(
        'size-missing',
        `Cannot make a mirror: leg "${device}" does not exist and --size is not given`,
        { hint: 'Say how large it shall be, for example --size 1G --create.' },
      );
    }
    if (bytes - offsetBytes >= smallest) continue;
    smallest = bytes - offsetBytes;
    smallestName = `leg "${device}" has ${bytes} bytes and the offset ${offsetBytes}`;
  }
  const bytes = Math.floor(smallest / SECTOR_SIZE) * SECTOR_SIZE;
  if (bytes > 0) return bytes;
  throw new UserError(
    'leg-too-small',
    `Cannot make a mirror: ${smallestName}, must have a sector behind it`,
  );
}

function times(count: number): string {
  return count === 0 ? 'not at all' : 'once';
}
