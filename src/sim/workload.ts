/**
 * Random users of a machine: clients that read, write, flush and discard, and an operator who
 * suspends and resumes, which is also what ends held requests.
 *
 * Two writes to one sector are never in flight together: what legs hold then is nobody's promise
 * (the scenario `racing-writes` tells that story).
 */

import { EIO, EOPNOTSUPP, OK } from '../base/errno.ts';
import type { Prng } from '../base/prng.ts';
import type { Play } from './play.ts';
import type { WorkloadOptions } from './sim-options.ts';

type Operation = keyof WorkloadOptions['weights'];

export async function runWorkload(play: Play, options: WorkloadOptions): Promise<void> {
  const users = new Users(play, options);
  users.armErrors();
  let running = options.clients;
  const clients = Array.from({ length: options.clients }, async (_, index) => {
    await users.serveClient(play.prng.fork(`client ${index}`));
    running -= 1;
  });
  for (let suspends = 0; suspends < options.suspends; suspends++) {
    await play.sleep(play.prng.between(1, 20));
    await suspendAndResume(play);
  }
  // Requests that are held end only by a suspend.
  while (running > 0) {
    await play.sleep(50);
    if (options.errors > 0) await suspendAndResume(play);
  }
  await Promise.all(clients);
}

async function suspendAndResume(play: Play): Promise<void> {
  await play.suspend({ noflush: play.prng.chance(1, 4) });
  await play.resume();
}

class Users {
  readonly #play: Play;
  readonly #options: WorkloadOptions;
  readonly #operations: readonly Operation[];
  /** Sectors with a write or discard in flight. */
  readonly #busy = new Set<number>();

  constructor(play: Play, options: WorkloadOptions) {
    this.#play = play;
    this.#options = options;
    this.#operations = Object.entries(options.weights).flatMap(([operation, weight]) =>
      new Array<Operation>(weight).fill(operation as Operation),
    );
  }

  armErrors(): void {
    const { prng, machine } = this.#play;
    for (let errors = 0; errors < this.#options.errors; errors++) {
      const leg = prng.between(-1, machine.legs.length - 1);
      const op = prng.pick(['write', 'write', 'read', 'flush'] as const);
      const effect = prng.pick(['none', 'all', 1] as const);
      this.#play.fail(
        leg,
        { ops: [op], skip: prng.between(0, 10), times: 1 },
        { result: EIO, effect },
      );
    }
  }

  async serveClient(prng: Prng): Promise<void> {
    for (let requests = 0; requests < this.#options.requestsPerClient; requests++) {
      await this.#request(prng.pick(this.#operations), prng);
      const pauseMs = prng.between(0, this.#options.pauseMsMax);
      if (pauseMs > 0) await this.#play.sleep(pauseMs);
    }
  }

  async #request(operation: Operation, prng: Prng): Promise<void> {
    const play = this.#play;
    const { sectors, regionSizeSectors } = play.machine.table;
    const allow = this.#options.errors > 0 ? [OK, EIO] : [OK];
    const sector = prng.between(0, sectors - 1);
    const count = Math.min(prng.between(1, regionSizeSectors + 2), sectors - sector);
    if (operation === 'flush') await play.flush({ allow });
    else if (operation === 'read') await play.read(sector, count, { allow });
    else if (this.#isFree(sector, count)) {
      this.#setBusy(sector, count, true);
      if (operation === 'discard') {
        await play.discard(sector, count, { allow: [...allow, EOPNOTSUPP] });
      } else {
        await play.write(sector, count, { allow, fua: operation === 'fua' });
      }
      this.#setBusy(sector, count, false);
    }
  }

  #isFree(sector: number, count: number): boolean {
    for (let at = sector; at < sector + count; at++) if (this.#busy.has(at)) return false;
    return true;
  }

  #setBusy(sector: number, count: number, busy: boolean): void {
    for (let at = sector; at < sector + count; at++) {
      if (busy) this.#busy.add(at);
      else this.#busy.delete(at);
    }
  }
}
