/**
 * Asks the control socket a few things as soon as the daemon is ready: its code is read and
 * compiled then, and whoever comes first, while the device is busy, does not wait for that.
 */

import { UserError } from '../base/failure.ts';
import type { ControlAddress } from '../control/control-address.ts';
import { ControlClient } from '../control/control-client.ts';

/** No device has such a name: what would change one is refused. */
const NOBODY = ' ';

const QUESTIONS: readonly (readonly [verb: string, input: object])[] = [
  ['ls', {}],
  ['info', {}],
  ['status', {}],
  ['table', {}],
  ['deps', {}],
  ['load', { device: NOBODY, table: '0 8 zero' }],
  ['suspend', { device: NOBODY, noflush: true }],
  ['resume', { device: NOBODY }],
  ['fault', { device: NOBODY, target: 'leg0', fault: 'error --op read --count 1' }],
  ['fault-remove', { device: NOBODY, all: true }],
  ['create', { device: NOBODY, table: '0 8 zero' }],
  ['remove', { device: NOBODY }],
];

export async function warmControl(address: ControlAddress): Promise<void> {
  const client = new ControlClient({ address });
  try {
    for (const [verb, input] of QUESTIONS) await client.call(verb, input, 'text');
  } catch (error) {
    // It is told to stop already: nothing is lost.
    if (!(error instanceof UserError)) throw error;
  }
}
