/** A session in transmission over a device that the test drives, and what its replies say. */

import { HeldDevice } from './nbd-held-device.ts';
import { NbdSession } from './nbd-session.ts';
import * as wire from './nbd-wire.ts';
import { ScriptedDevice } from './scripted-device.ts';

export function scripted(sectors = 2048): { device: ScriptedDevice; session: NbdSession } {
  const device = new ScriptedDevice({ name: 'disk', sectors });
  return { device, session: new NbdSession({ device }) };
}

export function held(sectors?: number): { device: HeldDevice; session: NbdSession } {
  const device = new HeldDevice(sectors);
  return { device, session: new NbdSession({ device }) };
}

/** Cookies and errors of simple replies without data, in the order of their coming. */
export function errors(bytes: Buffer): [bigint, number][] {
  return wire.parseReplies(bytes).map(({ cookie, error }) => [cookie, error]);
}
