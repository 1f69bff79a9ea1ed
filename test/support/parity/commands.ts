/**
 * Programs as the commands that both sides run. One line each, words separated by spaces; a device
 * in a table is "@name", the one disk below everything "@disk", and lines of a table are joined by
 * ";".
 *
 * | Command | Means |
 * |---|---|
 * | `fill START COUNT TAG` | sectors get the tag's pattern (0: zeros), past every cache |
 * | `watch START COUNT` | sectors that have to be still before a state counts as settled |
 * | `create`, `load`, `clear`, `suspend`, `resume`, `remove` | as `dmsetup` does; see `r` |
 * | `io r\|w\|f\|d ID NAME SECTOR COUNT TAG` | a request that is begun and not waited for |
 * | `io u ...` | a write with `O_DSYNC` |
 * | `io s\|n ID NAME 0 0 0` | a suspend, or one without flush, that is not waited for |
 * | `step N` | the next lines belong to this step |
 * | `observe NAME` | waits until nothing changes, then tells |
 * | `contents LABEL START COUNT`, `bytes ...` | what is there, if it has changed |
 *
 * Told is: `r VERB NAME ERRNO` of a command that failed, `i ID RESULT` of a request, `e` event
 * number and state, `s`, `t`, `x` the lines of status, table and inactive table, `c` contents.
 */

import type { FaultKind, Machine, Program, RequestSpec, Step, TableSpec } from './program.ts';
import { formatTableSpec } from './program.ts';

/** A tag in the upper half of each word of a sector, the sector's number in the lower. */
const DISK_TAG = 0x100;
const GARBAGE_TAG = 0x1ff;
/** As much of a log as its image can take in a program. */
const LOG_SHOWN_SECTORS = 4;
const FLAKEY_WORDS: Partial<Record<FaultKind, string>> = {
  'error-writes': '0 3600 1 error_writes',
  'drop-writes': '0 3600 1 drop_writes',
};
const REQUEST_LETTERS = { read: 'r', write: 'w', fua: 'u', flush: 'f', discard: 'd' } as const;

interface Place {
  readonly name: string;
  readonly start: number;
  readonly sectors: number;
}

function diskPlaces(machine: Machine): Place[] {
  return Array.from({ length: machine.disks }, (_, index) => ({
    name: `L${index}`,
    start: index * machine.diskSectors,
    sectors: machine.diskSectors,
  }));
}

function logPlaces(machine: Machine): Place[] {
  const start = machine.disks * machine.diskSectors;
  return [0, 1].map((index) => ({
    name: `G${index}`,
    start: start + index * machine.logSectors,
    sectors: machine.logSectors,
  }));
}

/** All commands of a program, from a bare disk to the last look. */
export function compileProgram(program: Program): string[] {
  return new Compiler(program).compile();
}

class Compiler {
  readonly #program: Program;
  readonly #places: ReadonlyMap<string, Place>;
  readonly #lines: string[] = [];
  readonly #stalled = new Set<string>();
  /** Disks and logs that the mirror may be using: those of all tables since it was made. */
  #used = new Set<string>();
  #nextId = 0;
  #isSuspending = false;

  constructor(program: Program) {
    this.#program = program;
    const places = [...diskPlaces(program.machine), ...logPlaces(program.machine)];
    this.#places = new Map(places.map((place) => [place.name, place]));
  }

  compile(): string[] {
    const { machine, table, steps } = this.#program;
    this.#lines.push(`program ${this.#program.name}`);
    for (const [index, { start, sectors }] of diskPlaces(machine).entries()) {
      this.#lines.push(`fill ${start} ${sectors} ${(DISK_TAG + index).toString(16)}`);
    }
    for (const { start, sectors } of logPlaces(machine)) {
      const tag = machine.logGarbage ? GARBAGE_TAG : 0;
      this.#lines.push(`fill ${start} ${sectors} ${tag.toString(16)}`);
      this.#lines.push(`watch ${start} ${Math.min(LOG_SHOWN_SECTORS, sectors)}`);
    }
    for (const place of this.#places.values()) {
      this.#lines.push(`create ${place.name}`, `load ${place.name} ${linear(place)}`);
      this.#lines.push(`resume ${place.name}`);
    }
    this.#lines.push('step 0');
    this.#makeInner();
    this.#make(table);
    this.#look();
    for (const [index, step] of steps.entries()) {
      this.#lines.push(`step ${index + 1}`);
      this.#step(step);
      this.#look();
    }
    this.#lines.push('end');
    return this.#lines;
  }

  #step(step: Step): void {
    switch (step.do) {
      case 'io':
        for (const request of step.requests) this.#request(request);
        return;
      case 'fault':
        this.#retable(this.#placeOf(step.disk), step.kind, step.range);
        return;
      case 'stall':
        this.#stall(step.disk);
        return;
      case 'unstall':
        if (!this.#stalled.delete(step.disk)) return;
        this.#lines.push(`resume ${step.disk}`);
        return;
      case 'load':
        this.#load(step.table);
        return;
      case 'clear':
        this.#lines.push('clear m');
        return;
      case 'begin-suspend':
        this.#beginSuspend(step.noflush);
        return;
      default:
        this.#lifeCycle(step);
    }
  }

  /** These would wait for requests that a stalled disk holds, for ever. */
  #lifeCycle(
    step: Extract<Step, { do: 'suspend' | 'resume' | 'reload' | 'cut' | 'remake' }>,
  ): void {
    this.#unstallAll();
    this.#isSuspending = false;
    if (step.do === 'suspend') {
      this.#lines.push(step.noflush ? 'suspend m noflush' : 'suspend m');
    } else if (step.do === 'resume') {
      this.#lines.push('resume m');
    } else if (step.do === 'reload') {
      this.#load(step.table);
      if (step.how === 'flush') this.#lines.push('suspend m');
      if (step.how === 'noflush') this.#lines.push('suspend m noflush');
      this.#stallBelow(step.stall);
      this.#lines.push('resume m');
    } else if (step.do === 'cut') {
      this.#cut(step.table);
    } else {
      this.#lines.push('remove m');
      this.#make(step.table, step.stall);
    }
  }

  /** Whether one that waits for another one ends well depends on which of them looked first. */
  #beginSuspend(noflush: boolean): void {
    if (this.#isSuspending) return;
    this.#isSuspending = true;
    this.#lines.push(`io ${noflush ? 'n' : 's'} ${this.#nextId++} m 0 0 0`);
  }

  /** Of a table that is about to go live; the one before has to be out of the way. */
  #stallBelow(disk: string | undefined): void {
    if (disk === undefined) return;
    this.#lines.push('suspend m noflush');
    this.#stall(disk);
  }

  #stall(disk: string): void {
    this.#lines.push(`suspend ${disk} noflush`);
    this.#stalled.add(disk);
  }

  /** From one moment on nothing reaches a disk any more; what the mirror then does is lost. */
  #cut(table: TableSpec): void {
    const used = [...this.#used].map((name) => this.#placeOf(name));
    for (const place of used) this.#retable(place, 'error', null);
    this.#lines.push(`load m 0 ${this.#program.table.length} error`, 'resume m', 'observe m');
    this.#lines.push('remove m');
    const { inner } = this.#program.machine;
    if (inner !== undefined) {
      this.#lines.push(`load mi 0 ${inner.length} error`, 'resume mi', 'observe mi', 'remove mi');
    }
    for (const place of used) this.#retable(place, 'none', null);
    this.#used.clear();
    this.#makeInner();
    this.#make(table);
  }

  #make(table: TableSpec, stall?: string): void {
    this.#lines.push('create m');
    this.#load(table);
    this.#stallBelow(stall);
    this.#lines.push('resume m');
  }

  #makeInner(): void {
    const { inner } = this.#program.machine;
    if (inner === undefined) return;
    const text = formatTableSpec(inner);
    this.#lines.push('create mi', `load mi ${text}`, 'resume mi', 'observe mi');
    this.#uses(text);
  }

  #load(table: TableSpec): void {
    const text = formatTableSpec(table);
    this.#lines.push(`load m ${text}`);
    this.#uses(text);
  }

  #uses(table: string): void {
    for (const [, name = ''] of table.matchAll(/@(\w+)/g)) {
      if (this.#places.has(name)) this.#used.add(name);
    }
  }

  /** What was held ends before anything else is done: else the two would race. */
  #unstallAll(): void {
    if (this.#stalled.size === 0) return;
    for (const disk of this.#stalled) this.#lines.push(`resume ${disk}`);
    this.#lines.push('observe m');
    this.#stalled.clear();
  }

  #retable(place: Place, kind: FaultKind, range: { start: number; count: number } | null): void {
    const { name } = place;
    if (kind === 'error-flushes') {
      const bad = `B${name}`;
      this.#lines.push(`create ${bad}`, `load ${bad} ${faulty(place, 'error-writes', null)}`);
      this.#lines.push(`resume ${bad}`);
    }
    this.#lines.push(`suspend ${name} noflush`, `load ${name} ${faulty(place, kind, range)}`);
    this.#lines.push(`resume ${name}`);
    this.#stalled.delete(name);
  }

  #request({ op, sector, count, tag }: RequestSpec): void {
    const id = this.#nextId++;
    this.#lines.push(`io ${REQUEST_LETTERS[op]} ${id} m ${sector} ${count} ${tag.toString(16)}`);
  }

  #look(): void {
    const { machine } = this.#program;
    this.#lines.push('observe m', ...(machine.inner === undefined ? [] : ['observe mi']));
    for (const { name, start, sectors } of diskPlaces(machine)) {
      this.#lines.push(`contents ${name} ${start} ${sectors}`);
    }
    for (const { name, start, sectors } of logPlaces(machine)) {
      this.#lines.push(`bytes ${name} ${start} ${Math.min(LOG_SHOWN_SECTORS, sectors)}`);
    }
  }

  #placeOf(name: string): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw new Error(`The program has no disk ${name}`);
    return place;
  }
}

function linear({ start, sectors }: Place): string {
  return `0 ${sectors} linear @disk ${start}`;
}

/** The table of a disk that behaves like this, everywhere or in a range. */
function faulty(
  place: Place,
  kind: FaultKind,
  range: { start: number; count: number } | null,
): string {
  const { name, start, sectors } = place;
  if (kind === 'none') return linear(place);
  if (kind === 'error-flushes') {
    return `0 ${sectors} delay @disk ${start} 0 @disk ${start} 0 @B${name} 0 0`;
  }
  const from = range === null ? 0 : Math.min(range.start, sectors - 1);
  const count = range === null ? sectors : Math.min(range.count, sectors - from);
  const end = from + count;
  const words = FLAKEY_WORDS[kind];
  const bad = words === undefined ? 'error' : `flakey @disk ${start + from} ${words}`;
  return [
    ...(from > 0 ? [`0 ${from} linear @disk ${start}`] : []),
    `${from} ${count} ${bad}`,
    ...(end < sectors ? [`${end} ${sectors - end} linear @disk ${start + end}`] : []),
  ].join(';');
}
