/** `nbd-mirror compare`: where legs differ, and whether the log knows, offline. */

import { Command } from 'commander';
import { parseByteSize } from '../base/byte-size.ts';
import { UserError } from '../base/failure.ts';
import { SECTOR_SIZE } from '../base/units.ts';
import type { ShortLeg } from '../daemon/plan/short-form.ts';
import { printOut } from './standard-output.ts';

interface CompareOptions {
  readonly log?: string;
  readonly regionSize: string;
  readonly size?: string;
  readonly ranges: string;
  readonly live: boolean;
  readonly json: boolean;
}

export function compareCommand(end: (status: number) => void): Command {
  return new Command('compare')
    .summary('compare legs region by region, offline')
    .description(
      'Compare legs region by region, and hold them against the log. Nothing is written.',
    )
    .argument('<leg...>', 'two or more legs: DEVICE or DEVICE,offset=SIZE')
    .option('--log <device>', 'the disk log of these legs')
    .option('--region-size <size>', 'size of a region', '512K')
    .option('--size <size>', 'compare so much (default: the shortest leg)')
    .option('--ranges <count>', 'print at most so many ranges of regions', '1000')
    .option('--live', 'look although a server has them open', false)
    .option('--json', 'print JSON', false)
    .helpOption('-h, --help', 'print this')
    .addHelpText(
      'after',
      '\nExit status: 0 if the legs are equal, 1 if they differ where the log says so (or there\n' +
        'is no log), 2 if they differ in a region that the log calls clean or cannot be read.\n\n' +
        'Example:\n  nbd-mirror compare a.img b.img --log log.img --region-size 512K',
    )
    .action(async (legs: string[], options: CompareOptions) => end(await compare(legs, options)));
}

async function compare(words: readonly string[], options: CompareOptions): Promise<number> {
  const { compareLegs, exitStatusOf } = await import('../inspect/compare-legs.ts');
  const { comparisonToJson, formatComparison } = await import('../inspect/format-comparison.ts');
  const { withOfflineDevices } = await import('../daemon/devices/open-offline.ts');
  const { parseShortLeg } = await import('../daemon/plan/short-form.ts');
  const { parseCount } = await import('./parse-count.ts');
  const rangesMax = parseCount('--ranges', options.ranges);
  const regionSizeSectors = parseSectors('--region-size', options.regionSize);
  const { size, log } = options;
  const length = size === undefined ? {} : { lengthSectors: parseSectors('--size', size) };
  const legs = words.map(parseShortLeg);
  const names = [...legs.map(({ device }) => device), ...(log === undefined ? [] : [log])];
  const comparison = await withOfflineDevices(names, { evenIfInUse: options.live }, (devices) => {
    requireOthers(legs, devices);
    const logDevice = log === undefined ? {} : { log: devices[legs.length]! };
    return compareLegs({
      legs: legs.map(({ offsetBytes }, index) => ({
        device: devices[index]!,
        offsetSectors: offsetBytes / SECTOR_SIZE,
      })),
      regionSizeSectors,
      ...length,
      ...logDevice,
    });
  });
  const text = options.json
    ? `${JSON.stringify(comparisonToJson(comparison), null, 2)}\n`
    : formatComparison(comparison, { rangesMax });
  printOut(text);
  return exitStatusOf(comparison);
}

interface NamedDevice {
  readonly name: string;
  /** Equal for two names of the same file. */
  readonly identity: string;
}

/** A leg is equal to itself, and a log to nothing: that is a mistyped name. */
function requireOthers(legs: readonly ShortLeg[], devices: readonly NamedDevice[]): void {
  for (const [second, { name, identity }] of devices.entries()) {
    for (const [first, other] of devices.slice(0, second).entries()) {
      const isSamePlace = legs[first]!.offsetBytes === (legs[second]?.offsetBytes ?? -1);
      if (other.identity !== identity || (second < legs.length && !isSamePlace)) continue;
      const role = second < legs.length ? 'leg' : 'log';
      throw new UserError(
        'device-used-twice',
        `Cannot compare: ${role} "${name}" is the same file as leg "${other.name}", ` +
          'must be another',
      );
    }
  }
}

function parseSectors(option: string, text: string): number {
  const bytes = parseByteSize(text);
  if (bytes !== null && bytes > 0 && bytes % SECTOR_SIZE === 0) return bytes / SECTOR_SIZE;
  throw new UserError(
    'bad-size',
    `Cannot compare: ${option} is "${text}", must be a multiple of 512 bytes such as 512K`,
  );
}
