/** `nbd-mirror log show`: what a log device holds, offline, written by us or by a kernel. */

import { Command } from 'commander';
import { printOut } from './standard-output.ts';

interface LogShowOptions {
  readonly json: boolean;
  readonly ranges: string;
  readonly regions?: string;
  readonly live: boolean;
}

export function logCommand(end: (status: number) => void): Command {
  const show = new Command('show')
    .description('Print header, counts and regions of a disk log. Nothing is written.')
    .argument('<device>', 'the log: a file or a block device')
    .option('--regions <count>', 'show this many regions, where the log does not know')
    .option('--ranges <count>', 'print at most so many ranges of regions', '1000')
    .option('--live', 'look although a server has it open', false)
    .option('--json', 'print JSON', false)
    .helpOption('-h, --help', 'print this')
    .addHelpText(
      'after',
      '\nExit status: 0, or 1 where a mirror would not believe the log.\n\n' +
        'Examples:\n  nbd-mirror log show log.img\n  nbd-mirror log show --json /dev/vg/lv_mlog',
    )
    .action(async (device: string, options: LogShowOptions) => end(await showLog(device, options)));
  return new Command('log')
    .summary('look at a disk log, offline')
    .description('Look at a disk log, offline.')
    .helpOption('-h, --help', 'print this')
    .addCommand(show);
}

async function showLog(name: string, options: LogShowOptions): Promise<number> {
  const { dumpLog, formatLogDump, logDumpToJson } = await import('../inspect/dump-log.ts');
  const { withOfflineDevices } = await import('../daemon/devices/open-offline.ts');
  const { parseCount } = await import('./parse-count.ts');
  const rangesMax = parseCount('--ranges', options.ranges);
  const { regions } = options;
  const count = regions === undefined ? {} : { regionCount: parseCount('--regions', regions) };
  const dump = await withOfflineDevices([name], { evenIfInUse: options.live }, ([device]) =>
    dumpLog(device!, count),
  );
  const text = options.json
    ? `${JSON.stringify(logDumpToJson(dump), null, 2)}\n`
    : formatLogDump(dump, { rangesMax });
  printOut(text);
  return dump.notes.some((note) => note.level === 'error') ? 1 : 0;
}
