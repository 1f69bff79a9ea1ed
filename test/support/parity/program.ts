/**
 * A program of random parity: what a machine has, and what is done with its one mirror `m`, step by
 * step.
 *
 * Everything is written out, nothing refers to another step, and every step means something in
 * every state: so any step can be left out and the rest still is a program. That is what shrinking
 * rests on. A program is plain JSON, which is what `--replay` reads.
 */

/** Disks are linear devices `L0`, `L1`… of one size; logs are `G0` and `G1`. */
export interface Machine {
  readonly disks: number;
  readonly diskSectors: number;
  readonly logSectors: number;
  /** Logs begin as zeros, or as something that is no log. */
  readonly logGarbage: boolean;
  /** A mirror `mi`, which the tables of `m` may have for a leg or as the log. */
  readonly inner?: TableSpec;
}

export interface LegSpec {
  readonly disk: string;
  readonly offset: number;
}

export interface TableSpec {
  readonly length: number;
  readonly regionSize: number;
  readonly log: 'core' | 'G0' | 'G1' | 'mi';
  readonly sync: 'sync' | 'nosync' | null;
  readonly legs: readonly LegSpec[];
  readonly features: readonly string[];
  /** Other targets of the table, in front of the mirror and behind it. */
  readonly before?: PartSpec;
  readonly after?: PartSpec;
}

export interface PartSpec {
  readonly length: number;
  /** Type and arguments of the target, devices as "@name". */
  readonly words: string;
}

/** `fua`: a write that is durable when it ends, as `O_DSYNC` makes it; a flush follows. */
export type RequestOp = 'read' | 'write' | 'fua' | 'flush' | 'discard';

export interface RequestSpec {
  readonly op: RequestOp;
  readonly sector: number;
  readonly count: number;
  /** Tells the contents of one write from those of another. */
  readonly tag: number;
}

/**
 * What a disk or log does from now on: everything works, everything fails, writes (and flushes)
 * fail, writes vanish, flushes alone fail.
 */
export type FaultKind = 'none' | 'error' | 'error-writes' | 'drop-writes' | 'error-flushes';

export type Step =
  /** Requests that are under way together. */
  | { readonly do: 'io'; readonly requests: readonly RequestSpec[] }
  | {
      readonly do: 'fault';
      readonly disk: string;
      readonly kind: FaultKind;
      /** Only these sectors of the disk; none: all. */
      readonly range: { readonly start: number; readonly count: number } | null;
    }
  /** Requests to a disk wait, until `unstall`. */
  | { readonly do: 'stall'; readonly disk: string }
  | { readonly do: 'unstall'; readonly disk: string }
  | { readonly do: 'suspend'; readonly noflush: boolean }
  /** A suspend that is begun and not waited for: what a disk holds up, holds it up. */
  | { readonly do: 'begin-suspend'; readonly noflush: boolean }
  | { readonly do: 'resume' }
  | { readonly do: 'load'; readonly table: TableSpec }
  | { readonly do: 'clear' }
  /** Load, suspend unless `resume` shall do that too, resume. */
  | {
      readonly do: 'reload';
      readonly table: TableSpec;
      readonly how: 'flush' | 'noflush' | 'resume';
      /** This disk stalls before the table goes live, so that copies stay under way. */
      readonly stall?: string;
    }
  /** The power goes, and comes back: the disks are what they were, the mirror is made anew. */
  | { readonly do: 'cut'; readonly table: TableSpec }
  /** Removed in order (unless it is in use), and made anew. */
  | { readonly do: 'remake'; readonly table: TableSpec; readonly stall?: string };

export interface Program {
  readonly name: string;
  readonly machine: Machine;
  /** The mirror that is there at first. */
  readonly table: TableSpec;
  readonly steps: readonly Step[];
}

/** As table lines joined by ";", with devices as "@name". */
export function formatTableSpec(table: TableSpec): string {
  const { length, before, after } = table;
  const start = before?.length ?? 0;
  return [
    ...(before === undefined ? [] : [`0 ${before.length} ${before.words}`]),
    `${start} ${length} ${formatMirror(table)}`,
    ...(after === undefined ? [] : [`${start + length} ${after.length} ${after.words}`]),
  ].join(';');
}

function formatMirror(table: TableSpec): string {
  const { regionSize, log, sync, legs, features } = table;
  const logWords = [...(log === 'core' ? [] : [`@${log}`]), regionSize, ...(sync ? [sync] : [])];
  const legWords = legs.flatMap(({ disk, offset }) => [`@${disk}`, offset]);
  const featureWords = features.length === 0 ? [] : [features.length, ...features];
  return [
    ...['mirror', log === 'core' ? 'core' : 'disk', logWords.length, ...logWords],
    ...[legs.length, ...legWords, ...featureWords],
  ].join(' ');
}

/** One line for people. */
function describeStep(step: Step): string {
  switch (step.do) {
    case 'io':
      return step.requests
        .map(({ op, sector, count }) => (op === 'flush' ? op : `${op} ${sector}+${count}`))
        .join(' & ');
    case 'fault': {
      const where = step.range === null ? '' : ` ${step.range.start}+${step.range.count}`;
      return `fault ${step.disk} ${step.kind}${where}`;
    }
    case 'stall':
    case 'unstall':
      return `${step.do} ${step.disk}`;
    case 'suspend':
      return step.noflush ? 'suspend --noflush' : 'suspend';
    case 'begin-suspend':
      return step.noflush ? 'suspend --noflush &' : 'suspend &';
    case 'resume':
    case 'clear':
      return step.do;
    case 'reload':
      return `reload (${step.how}${stalling(step.stall)}): ${formatTableSpec(step.table)}`;
    case 'remake':
      return `remake${stalling(step.stall)}: ${formatTableSpec(step.table)}`;
    case 'load':
    case 'cut':
      return `${step.do}: ${formatTableSpec(step.table)}`;
  }
}

function stalling(disk: string | undefined): string {
  return disk === undefined ? '' : `, ${disk} stalls`;
}

export function describeProgram(program: Program): string {
  const { disks, diskSectors, logSectors, logGarbage, inner } = program.machine;
  return [
    `program ${program.name}: ${disks} disks of ${diskSectors} sectors, logs of ${logSectors}` +
      `${logGarbage ? ' with something else on them' : ''}`,
    ...(inner === undefined ? [] : [`   0  create mi: ${formatTableSpec(inner)}`]),
    `   0  create: ${formatTableSpec(program.table)}`,
    ...program.steps.map(
      (step, index) => `${String(index + 1).padStart(4)}  ${describeStep(step)}`,
    ),
  ].join('\n');
}
