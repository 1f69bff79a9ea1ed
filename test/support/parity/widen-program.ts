/**
 * Takes a drawn program further, to what fewer users do: mirrors on mirrors, other targets beside
 * the mirror, copies and suspends that are held up half-way, tables that are refused, a leg twice.
 * A pass of its own, so that seeds go on meaning the programs that they meant.
 */

import { Prng } from '../../../src/base/prng.ts';
import type { LegSpec, PartSpec, Program, RequestSpec, Step, TableSpec } from './program.ts';

/** What the emulator's disk has room for. */
const SECTORS_MAX = 60_000;
const PART_SECTORS_MAX = 96;

export function widenProgram(program: Program): Program {
  return new Widener(program).widened();
}

class Widener {
  readonly #program: Program;
  readonly #prng: Prng;
  /** Disks behind those that the program has. */
  readonly #extra: string[] = [];
  #inner: TableSpec | null = null;
  #change: (table: TableSpec) => TableSpec = (table) => table;
  #before: PartSpec | null = null;
  #after: PartSpec | null = null;
  #table: TableSpec;
  readonly #faulty = new Set<string>();

  constructor(program: Program) {
    this.#program = program;
    this.#table = program.table;
    this.#prng = new Prng(`${program.name}/wide`);
  }

  widened(): Program {
    const { name, machine, table, steps } = this.#program;
    const isRoom = (machine.disks + 2) * machine.diskSectors + 2 * machine.logSectors < SECTORS_MAX;
    if (isRoom && this.#prng.chance(2, 5)) this.#stack();
    if (isRoom && this.#prng.chance(1, 3)) this.#surround();
    const first = this.#tableOf(table);
    const inner = this.#inner === null ? {} : { inner: this.#inner };
    return {
      name,
      machine: { ...machine, disks: machine.disks + this.#extra.length, ...inner },
      table: first,
      steps: steps.flatMap((step) => this.#steps(step)),
    };
  }

  #anotherDisk(): string {
    const disk = `L${this.#program.machine.disks + this.#extra.length}`;
    this.#extra.push(disk);
    return disk;
  }

  /** A mirror that holds nothing back, whatever fails: else what is above would wait for ever. */
  #stack(): void {
    const prng = this.#prng;
    const common = {
      regionSize: 2 ** prng.between(3, 6),
      log: 'core',
      sync: prng.chance(1, 2) ? 'nosync' : null,
      features: prng.pick([[], ['handle_errors', 'keep_log']]),
    } as const;
    const { diskSectors, logSectors } = this.#program.machine;
    if (prng.chance(1, 3)) {
      const legs = [
        { disk: 'G0', offset: 0 },
        { disk: 'G1', offset: 0 },
      ];
      this.#inner = { ...common, length: logSectors, legs };
      this.#change = (table) => (table.log === 'core' ? table : { ...table, log: 'mi' });
      return;
    }
    const legs = [
      { disk: 'L0', offset: 0 },
      { disk: this.#anotherDisk(), offset: 0 },
    ];
    this.#inner = { ...common, length: diskSectors, legs };
    const moved = (leg: LegSpec): LegSpec => (leg.disk === 'L0' ? { ...leg, disk: 'mi' } : leg);
    this.#change = (table) => ({ ...table, legs: table.legs.map(moved) });
  }

  #surround(): void {
    const disk = this.#anotherDisk();
    if (this.#prng.chance(2, 3)) this.#before = this.#part(disk, 0);
    if (this.#before === null || this.#prng.chance(1, 2)) {
      this.#after = this.#part(disk, Math.floor(this.#program.machine.diskSectors / 2));
    }
  }

  #part(disk: string, start: number): PartSpec {
    const prng = this.#prng;
    const half = Math.floor(this.#program.machine.diskSectors / 4);
    const length = prng.between(1, Math.min(PART_SECTORS_MAX, half));
    const mirror = `mirror core 2 8 nosync 2 @${disk} ${start} @${disk} ${start + half}`;
    const words = prng.pick([
      ...['zero', 'error', `linear @${disk} ${start}`, `linear @${disk} ${start}`],
      ...[mirror, `${mirror} 1 handle_errors`, `delay @${disk} ${start} 0`],
      `flakey @${disk} ${start} 3600 0`,
    ]);
    return { length, words };
  }

  #tableOf(table: TableSpec): TableSpec {
    const prng = this.#prng;
    this.#table = this.#change(table);
    const { legs } = this.#table;
    if (prng.chance(1, 12) && legs.length < 9) {
      this.#table = { ...this.#table, legs: [...legs, prng.pick(legs)] };
    }
    const parts = {
      ...(this.#before === null ? {} : { before: this.#before }),
      ...(this.#after === null ? {} : { after: this.#after }),
    };
    return { ...this.#table, ...parts };
  }

  #steps(step: Step): Step[] {
    const prng = this.#prng;
    switch (step.do) {
      case 'io':
        return [{ ...step, requests: this.#requests(step.requests) }];
      case 'fault': {
        const isMoved = this.#extra.length > 0 && prng.chance(1, 4);
        const disk = isMoved ? prng.pick(this.#extra) : step.disk;
        if (step.kind === 'none') this.#faulty.delete(disk);
        else this.#faulty.add(disk);
        return [{ ...step, disk }];
      }
      case 'load':
        return [
          { ...step, table: prng.chance(1, 3) ? this.#refused() : this.#tableOf(step.table) },
        ];
      case 'cut':
        return [{ ...step, table: this.#tableOf(step.table) }];
      case 'reload':
      case 'remake':
        return this.#heldUp({ ...step, table: this.#tableOf(step.table) });
      case 'stall':
        return prng.chance(1, 2) ? [step, this.#beginSuspend()] : [step];
      default:
        return [step];
    }
  }

  /** Copies are to be under way while the next steps are done. */
  #heldUp(step: Extract<Step, { do: 'reload' | 'remake' }>): Step[] {
    const prng = this.#prng;
    const names = step.table.legs.map(({ disk }) => disk).filter((disk) => disk !== 'mi');
    if (names.length === 0 || prng.chance(1, 3)) return [step];
    const held = { ...step, stall: prng.pick(names) };
    return prng.chance(1, 4) ? [held, this.#beginSuspend()] : [held];
  }

  #beginSuspend(): Step {
    return { do: 'begin-suspend', noflush: this.#prng.chance(1, 2) };
  }

  /** A table of which the kernel does not want to know. */
  #refused(): TableSpec {
    const prng = this.#prng;
    const table = this.#tableOf(this.#table);
    const [first, ...rest] = table.legs;
    return prng.pick<TableSpec>([
      { ...table, regionSize: prng.pick([0, 1, 3, 12, 100, 2 ** 20]) },
      { ...table, legs: [first!] },
      { ...table, legs: [] },
      { ...table, features: [prng.pick(['bogus', 'handle_error', '1'])] },
      { ...table, features: ['handle_errors', 'handle_errors'] },
      { ...table, features: ['keep_log'] },
      { ...table, legs: [...rest, { disk: 'none', offset: 0 }] },
    ]);
  }

  #requests(requests: readonly RequestSpec[]): RequestSpec[] {
    const prng = this.#prng;
    const shift = this.#before?.length ?? 0;
    const some = this.#faulty.size > 0 ? requests.slice(0, 1) : requests;
    return some.map((request) => {
      if (request.op === 'flush') return request;
      const op = request.op === 'write' && prng.chance(1, 6) ? 'fua' : request.op;
      const mayMove = some.length === 1 && this.#faulty.size === 0 && prng.chance(1, 4);
      const total = shift + this.#table.length + (this.#after?.length ?? 0);
      const sector = mayMove
        ? prng.between(0, Math.max(0, total - request.count))
        : request.sector + shift;
      return { ...request, op, sector };
    });
  }
}
