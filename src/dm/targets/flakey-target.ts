/**
 * The `flakey` target: reliable for `up` seconds, unreliable for `down` seconds, and so on from the
 * load of the table. Counterpart: dm-flakey. `DEVICE OFFSET UP DOWN [#FEATURE_WORDS FEATURE...]`.
 *
 * While down: everything fails, or as the features say: writes vanish (`drop_writes`) or fail
 * (`error_writes`), reads fail (`error_reads`), bytes are changed on the way. A flush counts as a
 * write.
 */

import { EIO, OK } from '../../base/errno.ts';
import { Prng } from '../../base/prng.ts';
import type { Bio } from '../../block/bio.ts';
import { statelessLife } from '../stateless-target.ts';
import type { Target, TargetType } from '../target.ts';
import type { TargetContext } from '../target-context.ts';
import { type FlakeyArgs, formatFlakeyArgs, parseFlakeyArgs } from './flakey-args.ts';
import { forwardBio, forwardBioThen, type Stretch } from './forward-bio.ts';
import { openStretch, targetError } from './stretch-args.ts';

const PROBABILITY_OF = 1_000_000_000;

export const flakeyTargetType: TargetType = {
  name: 'flakey',
  version: [1, 5, 0],
  async create(context, args): Promise<Target> {
    const [device, offset, ...words] = args;
    if (args.length < 4 || device === undefined || offset === undefined) {
      throw targetError(
        'flakey',
        `it has ${args.length} arguments, must have at least 4: DEVICE OFFSET UP DOWN`,
        'Invalid argument count',
      );
    }
    const stretch = await openStretch(context, 'flakey', { device, offset });
    try {
      const flakey = new Flakey(context, stretch, parseFlakeyArgs(words));
      return flakey.target(context);
    } catch (error) {
      await context.putDevice(stretch.device);
      throw error;
    }
  },
};

class Flakey {
  readonly #context: TargetContext;
  readonly #stretch: Stretch;
  readonly #args: FlakeyArgs;
  readonly #startedMs: number;
  readonly #prng = new Prng('flakey');

  constructor(context: TargetContext, stretch: Stretch, args: FlakeyArgs) {
    this.#context = context;
    this.#stretch = stretch;
    this.#args = args;
    this.#startedMs = context.clock.now();
  }

  target(context: TargetContext): Target {
    const { device, offset } = this.#stretch;
    return {
      ...statelessLife('flakey'),
      maxIoSectors: null,
      get discardSupported(): boolean {
        return device.capabilities.discard;
      },
      flushSupported: true,
      writeZeroesSupported: false,
      devices: [{ device, start: offset, length: context.length }],
      map: (bio) => this.#map(bio),
      status: (kind, nameOf) =>
        kind === 'table' ? `${nameOf(device)} ${offset} ${formatFlakeyArgs(this.#args)}` : '',
      destroy: () => context.putDevice(device),
    };
  }

  get #isDown(): boolean {
    const { up, down } = this.#args;
    const elapsed = Math.floor((this.#context.clock.now() - this.#startedMs) / 1000);
    return elapsed % (up + down) >= up;
  }

  #map(bio: Bio): void {
    if (!this.#isDown) forwardBio(bio, this.#stretch);
    else if (bio.op === 'read') this.#readWhileDown(bio);
    else this.#writeWhileDown(bio);
  }

  #readWhileDown(bio: Bio): void {
    const { errorReads, randomReadCorrupt, corrupt } = this.#args;
    if (errorReads || !this.#hasFeature()) {
      bio.fail(EIO, 'Target flakey fails reads while down');
      return;
    }
    forwardBioThen(bio, this.#stretch, (result, detail) => {
      if (result === OK) {
        const data = bio.data!;
        if (corrupt?.direction === 'r') this.#setByte(data);
        if (this.#isHit(randomReadCorrupt)) this.#flipSomeByte(data);
      }
      bio.detail = detail;
      bio.end(result);
    });
  }

  #writeWhileDown(bio: Bio): void {
    const { dropWrites, errorWrites, corrupt, randomWriteCorrupt } = this.#args;
    if (dropWrites) {
      bio.end(OK);
      return;
    }
    if (errorWrites || !this.#hasFeature()) {
      bio.fail(EIO, 'Target flakey fails writes while down');
      return;
    }
    const isSet = corrupt?.direction === 'w';
    const isHit = this.#isHit(randomWriteCorrupt);
    if (bio.data === null || (!isSet && !isHit)) {
      forwardBio(bio, this.#stretch);
      return;
    }
    // The writer's buffer stays as it is: other legs of a mirror may be sending it just now.
    const data = new Uint8Array(bio.data);
    if (isSet) this.#setByte(data);
    if (isHit) this.#flipSomeByte(data);
    forwardBio(bio, this.#stretch, data);
  }

  #hasFeature(): boolean {
    const { dropWrites, errorWrites, errorReads, corrupt } = this.#args;
    const { randomReadCorrupt, randomWriteCorrupt } = this.#args;
    const corrupts = corrupt !== null || randomReadCorrupt > 0 || randomWriteCorrupt > 0;
    return dropWrites || errorWrites || errorReads || corrupts;
  }

  /** Flags other than 0 name kinds of requests that do not exist here, so they match none. */
  #setByte(data: Uint8Array): void {
    const { corrupt } = this.#args;
    if (corrupt === null || corrupt.flags !== 0 || corrupt.nth > data.length) return;
    data[corrupt.nth - 1] = corrupt.value;
  }

  #isHit(probability: number): boolean {
    return probability > 0 && this.#prng.chance(probability, PROBABILITY_OF);
  }

  #flipSomeByte(data: Uint8Array): void {
    const at = this.#prng.between(0, data.length - 1);
    data[at] = data[at]! ^ this.#prng.between(1, 255);
  }
}
