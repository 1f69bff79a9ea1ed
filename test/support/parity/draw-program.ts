/** Draws programs from a seed: equal seeds and names give equal programs. */

import { Prng } from '../../../src/base/prng.ts';
import type {
  FaultKind,
  LegSpec,
  Machine,
  Program,
  RequestOp,
  RequestSpec,
  Step,
  TableSpec,
} from './program.ts';

const LEGS_MAX = 9;
/** Between two legs of a disk, so that a write that strays is seen. */
const LEG_GAP_SECTORS = 16;
const LEG_SHIFT_MAX = 12;
const TAG_FIRST = 0x1000;
const TAG_LAST = 0xffff;

/** How often each kind of step comes, of the sum of all. */
const STEP_WEIGHTS: readonly (readonly [string, number])[] = [
  ['write', 22],
  ['read', 12],
  ['flush', 6],
  ['discard', 4],
  ['several', 8],
  ['fault', 12],
  ['heal', 9],
  ['stall', 3],
  ['unstall', 5],
  ['suspend', 4],
  ['resume', 5],
  ['load', 2],
  ['clear', 1],
  ['reload', 9],
  ['cut', 4],
  ['remake', 3],
];

const FAULT_KINDS: readonly FaultKind[] = [
  ...(['error', 'error', 'error', 'error-writes', 'error-writes'] as const),
  ...(['error-flushes', 'drop-writes'] as const),
];

export interface DrawOptions {
  readonly seed: string;
  readonly steps: number;
}

export function drawProgram({ seed, steps }: DrawOptions): Program {
  return new Drawer(new Prng(seed), seed).draw(steps);
}

class Drawer {
  readonly #prng: Prng;
  readonly #name: string;
  readonly #legCountMax: number;
  readonly #lengthMax: number;
  readonly #slots: number;
  readonly #machine: Machine;
  /** What the drawing of the next step goes by; the program itself does not depend on it. */
  #table: TableSpec;
  #suspended = false;
  #stalled: string | null = null;
  readonly #faulty = new Set<string>();
  #tag = TAG_FIRST;

  constructor(prng: Prng, name: string) {
    this.#prng = prng;
    this.#name = name;
    this.#legCountMax = prng.chance(1, 5) ? LEGS_MAX : prng.between(2, 4);
    this.#lengthMax = prng.chance(1, 30) ? 3000 : prng.chance(1, 4) ? 700 : 160;
    const disks = prng.between(2, 4);
    this.#slots = Math.ceil(this.#legCountMax / disks) + 1;
    const stride = this.#lengthMax + LEG_GAP_SECTORS + LEG_SHIFT_MAX;
    this.#machine = {
      disks,
      diskSectors: stride * this.#slots,
      logSectors: prng.chance(1, 12) ? 3 : 40,
      logGarbage: prng.chance(1, 10),
    };
    this.#table = this.#drawTable();
  }

  draw(count: number): Program {
    const table = this.#table;
    const steps = Array.from({ length: count }, () => this.#step());
    return { name: this.#name, machine: this.#machine, table, steps };
  }

  #step(): Step {
    // A suspended mirror is dull: it goes on soon.
    if (this.#suspended && this.#prng.chance(1, 3)) return this.#resume();
    switch (weighted(this.#prng, STEP_WEIGHTS)) {
      case 'write':
        return this.#io(['write']);
      case 'read':
        return this.#io(['read']);
      case 'flush':
        return this.#io(['flush']);
      case 'discard':
        return this.#io(['discard']);
      case 'several':
        return this.#several();
      case 'fault':
        return this.#fault();
      case 'heal':
        return this.#heal();
      case 'stall':
        this.#stalled = this.#disk();
        return { do: 'stall', disk: this.#stalled };
      case 'unstall':
        return { do: 'unstall', disk: this.#stalled ?? this.#disk() };
      case 'suspend':
        this.#suspended = true;
        return { do: 'suspend', noflush: this.#prng.chance(1, 2) };
      case 'resume':
        return this.#resume();
      case 'load':
        return { do: 'load', table: this.#drawTable() };
      case 'clear':
        return { do: 'clear' };
      case 'reload':
        return this.#reload();
      case 'cut':
        return { do: 'cut', table: this.#settled(this.#next()) };
      default:
        return { do: 'remake', table: this.#settled(this.#next()) };
    }
  }

  #resume(): Step {
    this.#suspended = false;
    return { do: 'resume' };
  }

  #reload(): Step {
    const table = this.#settled(this.#next());
    const how = this.#prng.pick(['flush', 'noflush', 'noflush', 'resume'] as const);
    return { do: 'reload', table, how };
  }

  #settled(table: TableSpec): TableSpec {
    this.#suspended = false;
    this.#table = table;
    return table;
  }

  #heal(): Step {
    const disk = this.#faulty.size > 0 ? this.#prng.pick([...this.#faulty]) : this.#disk();
    this.#faulty.delete(disk);
    return { do: 'fault', disk, kind: 'none', range: null };
  }

  #fault(): Step {
    const prng = this.#prng;
    const disk = this.#disk();
    this.#faulty.add(disk);
    const kind = prng.pick(FAULT_KINDS);
    const isLog = disk.startsWith('G');
    if (isLog || kind === 'error-flushes' || prng.chance(2, 3)) {
      return { do: 'fault', disk, kind, range: null };
    }
    const start = prng.between(0, this.#machine.diskSectors - 1);
    return { do: 'fault', disk, kind, range: { start, count: prng.between(1, 64) } };
  }

  /** A disk or log; those that the mirror uses come more often. */
  #disk(): string {
    const prng = this.#prng;
    if (prng.chance(3, 4)) {
      const { legs, log } = this.#table;
      const used = legs.map(({ disk }) => disk);
      return prng.pick(log === 'core' ? used : [...used, log]);
    }
    if (prng.chance(1, 4)) return prng.pick(['G0', 'G1']);
    return `L${prng.between(0, this.#machine.disks - 1)}`;
  }

  /**
   * Where something fails, what comes of requests that race depends on which is first: one at a
   * time.
   */
  #several(): Step {
    const { length } = this.#table;
    const count = this.#prng.between(2, 4);
    // Requests that overlap could end in any order; each gets a stretch of its own.
    const stretch = Math.floor(length / count);
    if (stretch === 0 || this.#faulty.size > 0) return this.#io(['write']);
    const ops = this.#prng.pick([['write'], ['write', 'read'], ['read']] as const);
    const requests = Array.from({ length: count }, (_, index) =>
      this.#request(this.#prng.pick(ops), index * stretch, stretch),
    );
    return { do: 'io', requests };
  }

  #io(ops: readonly RequestOp[]): Step {
    return { do: 'io', requests: [this.#request(this.#prng.pick(ops), 0, this.#table.length)] };
  }

  #request(op: RequestOp, from: number, room: number): RequestSpec {
    if (op === 'flush') return { op, sector: 0, count: 0, tag: 0 };
    const prng = this.#prng;
    const { regionSize } = this.#table;
    if (this.#faulty.size > 0 && op !== 'discard') {
      const regions = Math.ceil(this.#table.length / regionSize);
      const start = regionSize * prng.between(0, regions - 1);
      const first = start + prng.between(0, Math.min(regionSize, this.#table.length - start) - 1);
      const end = Math.min(start + regionSize, this.#table.length, first + 256);
      const count = prng.between(1, end - first);
      return { op, sector: first, count, tag: op === 'write' ? this.#nextTag() : 0 };
    }
    const most = Math.max(1, Math.min(room, 256, prng.chance(1, 4) ? regionSize * 3 : regionSize));
    const count = prng.between(1, most);
    const sector = from + prng.between(0, room - count);
    return { op, sector, count, tag: op === 'write' ? this.#nextTag() : 0 };
  }

  #nextTag(): number {
    this.#tag = this.#tag === TAG_LAST ? TAG_FIRST : this.#tag + 1;
    return this.#tag;
  }

  // --- tables -----------------------------------------------------------------------------------

  /** Mostly the table before with one thing changed, as people and LVM do. */
  #next(): TableSpec {
    const prng = this.#prng;
    const table = this.#table;
    switch (prng.between(0, 9)) {
      case 0:
      case 1:
        return table;
      case 2:
        return { ...table, length: prng.between(Math.min(table.regionSize, 8), this.#lengthMax) };
      case 3:
        return { ...table, features: this.#drawFeatures() };
      case 4:
        return { ...table, ...this.#drawLog() };
      case 5:
        return { ...table, legs: this.#drawLegs() };
      case 6:
        return { ...table, legs: this.#withoutOne(table.legs) };
      case 7:
        return { ...table, legs: this.#withAnother(table.legs) };
      case 8:
        return { ...table, sync: prng.pick([null, 'sync', 'nosync']) };
      default:
        return this.#drawTable();
    }
  }

  #drawTable(): TableSpec {
    const prng = this.#prng;
    const regionSize = 2 ** (prng.chance(1, 8) ? prng.between(1, 2) : prng.between(3, 6));
    const large = this.#lengthMax >= 3000 && prng.chance(1, 2) ? 1024 : regionSize;
    const most = Math.min(this.#lengthMax, prng.chance(1, 8) ? this.#lengthMax : large * 12);
    const length = prng.chance(1, 40)
      ? prng.between(1, this.#lengthMax)
      : prng.between(Math.min(large, most), most);
    return {
      length,
      regionSize: large,
      ...this.#drawLog(),
      legs: this.#drawLegs(),
      features: this.#drawFeatures(),
    };
  }

  #drawLog(): Pick<TableSpec, 'log' | 'sync'> {
    const prng = this.#prng;
    return {
      log: prng.pick(['core', 'G0', 'G0', 'G1']),
      sync: prng.chance(1, 3) ? prng.pick(['sync', 'nosync', 'nosync']) : null,
    };
  }

  #drawFeatures(): string[] {
    return this.#prng.pick([
      [],
      ['handle_errors'],
      ['handle_errors'],
      ['handle_errors', 'keep_log'],
      ['keep_log', 'handle_errors'],
    ]);
  }

  #drawLegs(): LegSpec[] {
    const count = this.#prng.between(2, this.#legCountMax);
    return this.#prng.shuffle(this.#allSlots()).slice(0, count);
  }

  #withoutOne(legs: readonly LegSpec[]): LegSpec[] {
    const gone = this.#prng.between(0, legs.length - 1);
    const rest = legs.filter((_, index) => index !== gone);
    return rest.length < 2 ? [...legs] : rest;
  }

  #withAnother(legs: readonly LegSpec[]): LegSpec[] {
    const isFree = (slot: LegSpec): boolean =>
      legs.every((leg) => leg.disk !== slot.disk || this.#slotOf(leg) !== this.#slotOf(slot));
    const free = this.#allSlots().filter(isFree);
    if (free.length === 0 || legs.length === LEGS_MAX) return [...legs];
    return [...legs, this.#prng.pick(free)];
  }

  #allSlots(): LegSpec[] {
    const slots: LegSpec[] = [];
    const stride = this.#machine.diskSectors / this.#slots;
    for (let disk = 0; disk < this.#machine.disks; disk++) {
      for (let slot = 0; slot < this.#slots; slot++) {
        const shift = this.#prng.chance(1, 2) ? 0 : this.#prng.between(0, LEG_SHIFT_MAX);
        slots.push({ disk: `L${disk}`, offset: slot * stride + shift });
      }
    }
    return slots;
  }

  #slotOf({ offset }: LegSpec): number {
    return Math.floor(offset / (this.#machine.diskSectors / this.#slots));
  }
}

function weighted(prng: Prng, weights: readonly (readonly [string, number])[]): string {
  const sum = weights.reduce((total, [, weight]) => total + weight, 0);
  let left = prng.between(1, sum);
  for (const [word, weight] of weights) {
    left -= weight;
    if (left <= 0) return word;
  }
  throw new Error('A weight was drawn that is not there');
}
