/**
 * The users of a simulated machine: they send requests, tell the oracle what they sent and were
 * told, and check what they read.
 */

import { errnoName, type IoResult, OK } from '../base/errno.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../base/units.ts';
import { Bio, type BioOp } from '../block/bio.ts';
import { identifySectors, type SectorContents, sectorPayload } from './machine/sector-payload.ts';
import type { SimMachine } from './machine/sim-machine.ts';
import { describeAllowed, describeContents, isAllowed, type Oracle } from './oracle.ts';

export interface WriteOptions {
  readonly fua?: boolean;
  /** Results that are right here; only success when absent. */
  readonly allow?: readonly IoResult[];
}

export interface ReadOptions extends WriteOptions {
  /** False where the caller judges what is read. */
  readonly judged?: boolean;
}

export interface ReadOutcome {
  readonly result: IoResult;
  /** Sector by sector; null for each where the read failed. */
  readonly contents: readonly (SectorContents | null)[];
}

export interface AcknowledgementListener {
  /** A FUA write or a flush was answered with success, and the oracle knows it. */
  durable(machine: SimMachine, oracle: Oracle): void;
}

export class SimClient {
  readonly machine: SimMachine;
  readonly oracle: Oracle;
  readonly #listener: AcknowledgementListener | undefined;
  #inFlight = 0;
  /** Extents of writes in flight, to notice those that race in one sector. */
  readonly #writing = new Set<{ sector: number; count: number }>();
  readonly #raced = new Set<number>();
  readonly #discarded = new Set<number>();

  constructor(machine: SimMachine, oracle: Oracle, listener?: AcknowledgementListener) {
    this.machine = machine;
    this.oracle = oracle;
    this.#listener = listener;
  }

  /** Requests not yet answered. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Sectors to which two writes were in flight together. */
  get raced(): ReadonlySet<number> {
    return this.#raced;
  }

  /** Sectors that were discarded at some time: zeros are older contents there. */
  get discarded(): ReadonlySet<number> {
    return this.#discarded;
  }

  async write(sector: number, count: number, options: WriteOptions = {}): Promise<IoResult> {
    const fua = options.fua ?? false;
    const id = this.oracle.writeSubmitted({ sector, count, fua });
    const extent = { sector, count };
    this.#noteRaces(extent);
    this.#writing.add(extent);
    const data = sectorPayload(id, sector, count);
    const result = await this.#submit({ op: 'write', sector, count, data, fua }, (outcome) => {
      this.#writing.delete(extent);
      this.oracle.ended(id, outcome);
      if (fua && outcome === OK) this.#listener?.durable(this.machine, this.oracle);
    });
    this.#expect(`write ${id} at ${sector}+${count}`, result, options.allow);
    return result;
  }

  async discard(sector: number, count: number, options: WriteOptions = {}): Promise<IoResult> {
    const id = this.oracle.discardSubmitted({ sector, count });
    for (let at = sector; at < sector + count; at++) this.#discarded.add(at);
    const request = { op: 'discard' as const, sector, count, data: null, fua: false };
    const result = await this.#submit(request, (outcome) => this.oracle.ended(id, outcome));
    this.#expect(`discard at ${sector}+${count}`, result, options.allow);
    return result;
  }

  async flush(options: WriteOptions = {}): Promise<IoResult> {
    const instant = this.oracle.flushSubmitted();
    const request = { op: 'flush' as const, sector: 0, count: 0, data: null, fua: false };
    const result = await this.#submit(request, (outcome) => {
      this.oracle.flushEnded(instant, outcome);
      if (outcome === OK) this.#listener?.durable(this.machine, this.oracle);
    });
    this.#expect('flush', result, options.allow);
    return result;
  }

  /** Reads, and checks against what the oracle allows at this moment. */
  async read(sector: number, count: number, options: ReadOptions = {}): Promise<ReadOutcome> {
    const instant = this.oracle.readSubmitted();
    const data = new Uint8Array(count * SECTOR_SIZE);
    let contents: (SectorContents | null)[] = new Array(count).fill(null);
    const request = { op: 'read' as const, sector, count, data, fua: false };
    const result = await this.#submit(request, (outcome) => {
      if (outcome !== OK) return;
      const found = identifySectors(data, sector);
      contents = found;
      if (options.judged !== false) this.#checkRead(sector, found, instant);
    });
    this.#expect(`read at ${sector}+${count}`, result, options.allow);
    return { result, contents };
  }

  #submit(
    request: { op: BioOp; sector: number; count: number; data: Uint8Array | null; fua: boolean },
    answered: (result: IoResult) => void,
  ): Promise<IoResult> {
    const { machine } = this;
    const what = `client ${request.op} ${request.sector}+${request.count}`;
    this.#inFlight += 1;
    return new Promise((resolve) => {
      let ended = false;
      const bio = new Bio({
        op: request.op,
        sector: toSector(request.sector),
        count: toSectorCount(request.count),
        data: request.data,
        fua: request.fua,
        onEnd: (_bio, result) => {
          if (!machine.power.on) return;
          if (ended) {
            machine.find({ checker: 'broken-invariant', message: `${what} was answered twice` });
            return;
          }
          ended = true;
          // Cut here, the answer is on its way and nobody has heard it.
          machine.event(`${what} answered ${errnoName(result)}`);
          if (!machine.power.on) return;
          this.#inFlight -= 1;
          answered(result);
          resolve(result);
        },
      });
      machine.event(`${what}${request.fua ? ' fua' : ''} submitted`);
      if (machine.power.on) machine.stack.device.submit(bio);
    });
  }

  #checkRead(sector: number, contents: readonly SectorContents[], instant: number): void {
    for (const [index, observed] of contents.entries()) {
      const at = sector + index;
      const allowed = this.oracle.allowedSince(instant, at);
      if (isAllowed(observed, allowed)) continue;
      const found = `sector ${at} reads as ${describeContents(observed)}`;
      this.machine.find({
        checker: 'reads-current',
        message: `${found}, must be ${describeAllowed(allowed)}`,
        sector: at,
        observed,
      });
    }
  }

  #expect(what: string, result: IoResult, allow: readonly IoResult[] | undefined): void {
    if ((allow ?? [OK]).includes(result)) return;
    const wanted = (allow ?? [OK]).map(errnoName).join(' or ');
    this.machine.find({
      checker: 'results-expected',
      message: `${what} ended with ${errnoName(result)}, must end with ${wanted}`,
    });
  }

  #noteRaces(extent: { sector: number; count: number }): void {
    for (const other of this.#writing) {
      const first = Math.max(extent.sector, other.sector);
      const end = Math.min(extent.sector + extent.count, other.sector + other.count);
      for (let at = first; at < end; at++) this.#raced.add(at);
    }
  }
}
