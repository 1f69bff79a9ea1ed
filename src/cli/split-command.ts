/** `nbd-mirror split`: takes a leg out of a mirror as an image of its own. */

import { resolve } from 'node:path';
import { Command } from 'commander';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import {
  type ControlOptions,
  callAndPrint,
  reportErrors,
  type Shell,
  withControlOptions,
} from './control-session.ts';

const NOTES = `
The mirror must be in sync. It goes on without the leg; one leg that is left becomes a linear
device. Printed are the image's device, and the first sector and the number of sectors of the
image in it.

With --to the leg stays, and a copy of it is made in a new file; clients wait meanwhile.`;

export function splitCommand(shell: Shell): Command {
  interface Options extends ControlOptions {
    readonly uuid?: string;
    readonly leg?: string;
    readonly to?: string;
  }
  return withControlOptions(new Command('split'))
    .summary('take a leg out as a consistent image')
    .description('Take a leg out of a mirror as an image of its own, consistent at one instant.')
    .argument('[device]')
    .option('-u, --uuid <uuid>', 'the device of this uuid')
    .option('-l, --leg <n>', 'the leg, counted from 0')
    .option('--to <path>', 'copy it to a new file instead')
    .addHelpText('after', NOTES)
    .action(async (device: string | undefined, options: Options) => {
      const run = async (): Promise<number> => {
        const { uuid, leg = '', to } = options;
        if (!/^[0-9]{1,4}$/.test(leg)) {
          throw new UserError(
            'bad-number',
            `Cannot split a leg off: --leg is ${quoted(leg)}, must be a number`,
          );
        }
        const which = { ...(device === undefined ? {} : { device }), ...(uuid && { uuid }) };
        // The daemon works in another directory.
        const path = to === undefined ? {} : { to: resolve(to) };
        return callAndPrint(shell, options, 'split', [{ ...which, leg: Number(leg), ...path }]);
      };
      shell.end(await reportErrors(shell, options, run));
    });
}
