/**
 * A mirror of a hundred lines for testing the sweep itself: one request at a time, nothing clever,
 * right unless it is told to be wrong.
 */

import { OK } from '../../src/base/errno.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../../src/base/units.ts';
import type { Bio } from '../../src/block/bio.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { type RunBioOptions, runBio } from '../../src/block/run-bio.ts';
import {
  decodeLogHeader,
  encodeLogHeader,
  LOG_BITSET_OFFSET,
  LOG_MAGIC,
  LOG_VERSION,
} from '../../src/dirtylog/log-header.ts';
import { LOG_DEVICE, legDevice, regionCountOf } from '../../src/sim/machine/machine-setup.ts';
import type { SimStack, StackEnvironment, StackFactory } from '../../src/sim/machine/sim-stack.ts';

export interface ToyMistakes {
  readonly marksAfterData?: boolean;
  readonly marksWithoutFlush?: boolean;
  readonly clearsWithoutFlush?: boolean;
  readonly fuaOnFirstLegOnly?: boolean;
  readonly flushIgnored?: boolean;
  readonly copiesBackwards?: boolean;
}

const IMAGE_SECTORS = 3;

class ToyMirror {
  readonly #mistakes: ToyMistakes;
  readonly #environment: StackEnvironment;
  readonly #legs: readonly BlockDevice[];
  readonly #log: BlockDevice;
  readonly #image = new Uint8Array(IMAGE_SECTORS * SECTOR_SIZE);
  readonly #regionCount: number;
  #turn: Promise<unknown> = Promise.resolve();
  inSync = 0;
  events = 0;

  constructor(environment: StackEnvironment, mistakes: ToyMistakes) {
    const { devices, table } = environment;
    this.#environment = environment;
    this.#mistakes = mistakes;
    this.#legs = table.legs.map((leg) => devices.get(legDevice(leg))!);
    this.#log = devices.get(LOG_DEVICE)!;
    this.#regionCount = regionCountOf(table);
  }

  get device(): BlockDevice {
    const [first] = this.#legs;
    return {
      name: 'toy',
      sizeSectors: toSectorCount(this.#environment.table.sectors),
      logicalBlockSize: SECTOR_SIZE,
      capabilities: first!.capabilities,
      submit: (bio) => void this.#inTurn(() => this.#serve(bio)),
      close: async () => {},
    };
  }

  async start(): Promise<void> {
    await runBio(this.#log, this.#logIo('read'));
    if (decodeLogHeader(this.#image).magic !== LOG_MAGIC) this.#image.fill(0);
    const regionCount = BigInt(this.#regionCount);
    encodeLogHeader({ magic: LOG_MAGIC, version: LOG_VERSION, regionCount }, this.#image);
    await this.#writeLog(true);
    const dirty = this.#regions().filter((region) => !this.#bit(region));
    this.inSync = this.#regionCount - dirty.length;
    if (dirty.length === 0) this.events += 1;
    for (const region of dirty) void this.#inTurn(() => this.#copy(region));
  }

  async stop(): Promise<void> {
    await this.#inTurn(() => this.#clearAll());
  }

  status(): string {
    const { table } = this.#environment;
    const legs = table.legs.map(legDevice).join(' ');
    const health = 'A'.repeat(table.legs.length);
    const ratio = `${this.inSync}/${this.#regionCount}`;
    const start = `0 ${table.sectors} mirror ${table.legs.length}`;
    return `${start} ${legs} ${ratio} 1 ${health} 3 disk log A`;
  }

  async #serve(bio: Bio): Promise<void> {
    const { op, sector, count, data, fua } = bio;
    if (op === 'read') {
      bio.end(await runBio(this.#legs[0]!, { op, sector, count, data }));
      return;
    }
    if (op === 'flush') {
      if (this.#mistakes.flushIgnored !== true) await this.#flushLegs();
      bio.end(OK);
      return;
    }
    const { regionSizeSectors } = this.#environment.table;
    const first = Math.floor(sector / regionSizeSectors);
    const last = Math.floor((sector + count - 1) / regionSizeSectors);
    for (let region = first; region <= last; region++) this.#setBit(region, false);
    if (this.#mistakes.marksAfterData !== true) await this.#writeLog(true);
    await Promise.all(
      this.#legs.map((leg, index) => {
        const legFua = fua && (index === 0 || this.#mistakes.fuaOnFirstLegOnly !== true);
        return runBio(leg, { op, sector, count, data, fua: legFua });
      }),
    );
    if (this.#mistakes.marksAfterData === true) await this.#writeLog(true);
    bio.end(OK);
    await this.#clearAll();
  }

  async #copy(region: number): Promise<void> {
    const { table, probe } = this.#environment;
    const sector = region * table.regionSizeSectors;
    const count = Math.min(table.regionSizeSectors, table.sectors - sector);
    const data = new Uint8Array(count * SECTOR_SIZE);
    const place = { sector: toSector(sector), count: toSectorCount(count), data };
    const [source, ...others] = this.#mistakes.copiesBackwards
      ? [...this.#legs].reverse()
      : this.#legs;
    await runBio(source!, { op: 'read', ...place });
    for (const leg of others) await runBio(leg, { op: 'write', ...place });
    this.inSync += 1;
    probe.reached('R4', -1, region);
    if (this.inSync < this.#regionCount) return;
    this.events += 1;
    await this.#clearAll();
  }

  /** Only when everything is in sync: one flush for all. */
  async #clearAll(): Promise<void> {
    if (this.inSync < this.#regionCount) return;
    if (this.#mistakes.clearsWithoutFlush !== true) await this.#flushLegs();
    for (const region of this.#regions()) this.#setBit(region, true);
    await this.#writeLog(false);
  }

  async #flushLegs(): Promise<void> {
    await Promise.all(this.#legs.map((leg) => runBio(leg, { op: 'flush' })));
  }

  async #writeLog(flush: boolean): Promise<void> {
    await runBio(this.#log, this.#logIo('write'));
    if (flush && this.#mistakes.marksWithoutFlush !== true)
      await runBio(this.#log, { op: 'flush' });
  }

  #logIo(op: 'read' | 'write'): RunBioOptions {
    return { op, count: toSectorCount(IMAGE_SECTORS), data: this.#image };
  }

  #regions(): number[] {
    return Array.from({ length: this.#regionCount }, (_, region) => region);
  }

  #bit(region: number): boolean {
    return ((this.#image[LOG_BITSET_OFFSET + (region >> 3)]! >> (region & 7)) & 1) === 1;
  }

  #setBit(region: number, clean: boolean): void {
    const byte = LOG_BITSET_OFFSET + (region >> 3);
    const mask = 1 << (region & 7);
    this.#image[byte] = clean ? this.#image[byte]! | mask : this.#image[byte]! & ~mask;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#turn.then(work);
    this.#turn = result;
    return result;
  }
}

export function toyStack(mistakes: ToyMistakes = {}): StackFactory {
  return async (environment): Promise<SimStack> => {
    const toy = new ToyMirror(environment, mistakes);
    await toy.start();
    const unable = async (): Promise<never> => {
      throw new Error('A toy mirror cannot do this');
    };
    return {
      device: toy.device,
      get eventNumber() {
        return toy.events;
      },
      suspend: unable,
      resume: unable,
      reload: unable,
      status: async () => toy.status(),
      stop: () => toy.stop(),
    };
  };
}
