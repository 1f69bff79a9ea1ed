/**
 * The `delay` target: reads, writes and flushes each wait a while, and may go to devices of their
 * own. Counterpart: dm-delay. `DEVICE OFFSET DELAY [WRITE_DEVICE OFFSET DELAY [FLUSH_DEVICE OFFSET
 * DELAY]]`, delays in milliseconds.
 *
 * A suspend lets everything go that waits, as in the kernel.
 */

import type { Timer } from '../../base/clock.ts';
import type { Bio } from '../../block/bio.ts';
import { parseUnsigned, U32_MAX } from '../parse-number.ts';
import { statelessLife } from '../stateless-target.ts';
import type { TargetType } from '../target.ts';
import type { TargetContext } from '../target-context.ts';
import { forwardBio, type Stretch } from './forward-bio.ts';
import { openStretch, targetError } from './stretch-args.ts';

const WORDS_PER_CLASS = 3;

/** Where requests of one kind go, and how late. */
interface DelayClass {
  readonly stretch: Stretch;
  readonly delayMs: number;
  /** Requests that wait now, for the status line. */
  waiting: number;
}

export const delayTargetType: TargetType = {
  name: 'delay',
  version: [1, 3, 0],
  async create(context, args) {
    if (args.length !== 3 && args.length !== 6 && args.length !== 9) {
      throw targetError(
        'delay',
        `it has ${args.length} arguments, must have 3, 6 or 9`,
        'Requires exactly 3, 6 or 9 arguments',
      );
    }
    const classes: DelayClass[] = [];
    try {
      for (let word = 0; word < args.length; word += WORDS_PER_CLASS) {
        classes.push(await openClass(context, args.slice(word, word + WORDS_PER_CLASS)));
      }
    } catch (error) {
      for (const { stretch } of classes) await context.putDevice(stretch.device);
      throw error;
    }
    return new DelayedStretches(context, classes).target();
  },
};

async function openClass(context: TargetContext, words: readonly string[]): Promise<DelayClass> {
  const [device = '', offset = '', delayWord] = words;
  const stretch = await openStretch(context, 'delay', { device, offset });
  const delayMs = parseUnsigned(delayWord, U32_MAX);
  if (delayMs !== null) return { stretch, delayMs, waiting: 0 };
  await context.putDevice(stretch.device);
  throw targetError(
    'delay',
    `delay is "${delayWord}", must be a number of milliseconds`,
    'Invalid delay',
  );
}

class DelayedStretches {
  readonly #context: TargetContext;
  readonly #classes: readonly DelayClass[];
  /** What waits, in the order of its coming. */
  readonly #waiting = new Map<Bio, { timer: Timer; delayClass: DelayClass }>();
  #mayDelay = true;

  constructor(context: TargetContext, classes: readonly DelayClass[]) {
    this.#context = context;
    this.#classes = classes;
  }

  target() {
    const classes = this.#classes;
    return {
      ...statelessLife('delay'),
      maxIoSectors: null,
      get discardSupported(): boolean {
        return classes.every(({ stretch }) => stretch.device.capabilities.discard);
      },
      flushSupported: true,
      writeZeroesSupported: false,
      devices: classes.map(({ stretch }) => ({
        device: stretch.device,
        start: stretch.offset,
        length: this.#context.length,
      })),
      map: (bio: Bio): void => this.#map(bio),
      presuspend: async (): Promise<void> => {
        this.#mayDelay = false;
        for (const bio of [...this.#waiting.keys()]) this.#go(bio);
      },
      resume: async (): Promise<void> => {
        this.#mayDelay = true;
      },
      status: (kind: 'info' | 'table', nameOf: (device: Stretch['device']) => string): string =>
        kind === 'info'
          ? [0, 1, 2]
              .map((index) => (classes[index] === undefined ? 0 : classes[index].waiting))
              .join(' ')
          : classes
              .map(
                ({ stretch, delayMs }) => `${nameOf(stretch.device)} ${stretch.offset} ${delayMs}`,
              )
              .join(' '),
      destroy: async (): Promise<void> => {
        for (const { stretch } of classes) await this.#context.putDevice(stretch.device);
      },
    };
  }

  /** Without words of their own flushes wait as writes do, and those as reads. */
  #classOf(bio: Bio): DelayClass {
    const wanted = bio.op === 'read' ? 0 : bio.op === 'flush' ? 2 : 1;
    return this.#classes[Math.min(wanted, this.#classes.length - 1)]!;
  }

  #map(bio: Bio): void {
    const delayClass = this.#classOf(bio);
    if (delayClass.delayMs === 0 || !this.#mayDelay) {
      forwardBio(bio, delayClass.stretch);
      return;
    }
    const timer = this.#context.clock.after(delayClass.delayMs, () => this.#go(bio));
    delayClass.waiting += 1;
    this.#waiting.set(bio, { timer, delayClass });
  }

  #go(bio: Bio): void {
    const { timer, delayClass } = this.#waiting.get(bio)!;
    this.#waiting.delete(bio);
    timer.cancel();
    delayClass.waiting -= 1;
    forwardBio(bio, delayClass.stretch);
  }
}
