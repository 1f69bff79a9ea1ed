/** A device whose requests end when, and in the order in which, a test says. */

import type { IoResult } from '../../src/base/errno.ts';
import type { Bio } from '../../src/block/bio.ts';
import { ScriptedDevice } from './scripted-device.ts';

export class HeldDevice extends ScriptedDevice {
  readonly held: Bio[] = [];

  constructor(sectors = 2048) {
    super({ name: 'held', sectors });
  }

  override submit(bio: Bio): void {
    this.held.push(bio);
  }

  /** Carries out the request that came as number `index` of those still held. */
  finish(index = 0): void {
    super.submit(this.held.splice(index, 1)[0]!);
  }

  fail(result: IoResult, text: string): void {
    this.held.shift()!.fail(result, text);
  }
}
