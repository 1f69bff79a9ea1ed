/**
 * Plays one transcript on an emulated machine and compares what came of each step. How each line is
 * read, and what is compared, is in docs/parity.md.
 *
 * A step that differs does not end the case; one that is not understood does.
 */

import { SECTOR_SIZE } from '../../../src/base/units.ts';
import { EmulatedMachine, type Job } from '../emulated-machine.ts';
import type { GoldenAction, GoldenCase, GoldenStep } from '../golden.ts';
import { blkdiscard, blockdev, cmp, dd, type Files, losetup } from './block-tools.ts';
import { actionOfComment, type CommentAction } from './comment-actions.ts';
import { dmsetup } from './dmsetup.ts';
import {
  formatReason,
  NotUnderstood,
  type Outcome,
  reasonsIn,
  sameReasons,
  succeeded,
} from './outcome.ts';
import type { SilentAction, SilentActions } from './silent-actions.ts';

/** What the recorder's steps take, roughly: a process in a guest, and its waits. */
const COMMAND_MS = 20;
const BACKGROUND_MS = 500;
const END_BACKGROUND_MS = 5_000;
const HANGS_MS = 60_000;
const BEFORE_POWER_CUT_MS = 1_000;

const KEPT_DIRECTORY = '/share/out';

export interface Difference {
  /** Of the transcript. */
  readonly lineNumber: number;
  readonly expected: readonly string[];
  readonly actual: readonly string[];
}

export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly stepCount: number;
  readonly differences: readonly Difference[];
  /** Lines that are compared with nothing here, each with the reason. */
  readonly notCompared: ReadonlyMap<string, number>;
}

export interface CaseInput {
  readonly golden: GoldenCase;
  readonly silent: SilentActions;
  /** The raw bytes that the kernel's run kept. */
  readonly bytesOf: (file: string) => Uint8Array;
}

/**
 * Steps where docs/quirks.md says that we depart, by case and line; each must differ indeed.
 */
const DEPARTURES: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  [
    'rejected-targets',
    new Set([
      // A device that stands on itself is refused.
      "dmsetup load m --table '0 16384 mirror core 2 1024 nosync 2 253:0 0 254:16 0'",
    ]),
  ],
  [
    'rejected-userspace-log',
    new Set([
      // A region size that is no power of two is refused, whoever names it.
      "dmsetup create m --table '0 16384 mirror userspace 3 log-0 mem 1000 2 254:0 0 254:16 0'",
      'dmsetup table m',
      'dmsetup status m',
      'dmsetup remove m',
      'cat /tmp/requests',
    ]),
  ],
]);

export async function runCase(input: CaseInput): Promise<CaseResult> {
  const run = new CaseRun(input);
  const { name, title, steps } = input.golden;
  for (const [index, step] of steps.entries()) {
    try {
      await run.take(step, index);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const why = error instanceof NotUnderstood ? `not understood: ${error.message}` : error.stack;
      run.differs(step, [step.text], [why ?? error.message]);
      break;
    }
  }
  const { differences, notCompared } = run;
  return { name, title, stepCount: steps.length, differences, notCompared };
}

type StepOf<Kind> = GoldenStep & Extract<GoldenAction, { kind: Kind }>;

class CaseRun {
  readonly differences: Difference[] = [];
  readonly notCompared = new Map<string, number>();
  readonly #input: CaseInput;
  readonly #files: Files = new Map();
  #machine: EmulatedMachine | null = null;
  #powerIsOn = false;
  #logSectors = 0;
  #background: Job<Outcome> | null = null;

  constructor(input: CaseInput) {
    this.#input = input;
  }

  get #on(): EmulatedMachine {
    if (this.#machine === null || !this.#powerIsOn) throw new NotUnderstood('a step without power');
    return this.#machine;
  }

  async take(step: GoldenStep, index: number): Promise<void> {
    for (const action of this.#input.silent.get(index) ?? []) await this.#silently(action);
    switch (step.kind) {
      case 'disks':
        return this.#boot(step, index);
      case 'command':
        return this.#command(step);
      case 'background-ended':
        return this.#backgroundEnded(step);
      case 'background-waits':
        if (this.#background?.ended !== false) this.differs(step, [step.text], ['it has ended']);
        return this.#saidInBackground(step);
      case 'wait':
        await this.#on.advance(step.seconds * 1000);
        return this.#saidInBackground(step);
      case 'wait-sync':
        await this.#on.waitInSync(step.device);
        return this.#saidInBackground(step);
      case 'power-cut':
        return this.#powerCut(step);
      case 'letter':
        await this.#letter(step);
        return this.#saidInBackground(step);
      case 'kept':
        return this.#kept(step);
      case 'comment':
        return this.#comment(step);
    }
  }

  differs(step: GoldenStep, expected: readonly string[], actual: readonly string[]): void {
    if (this.#isDeparture(step)) {
      this.#notCompared('steps where we depart from the kernel, see docs/quirks.md', 1);
      return;
    }
    this.differences.push({ lineNumber: step.lineNumber, expected, actual });
  }

  #notCompared(reason: string, count: number): void {
    if (count > 0) this.notCompared.set(reason, (this.notCompared.get(reason) ?? 0) + count);
  }

  /** What the kernel says of its work in the background is not ours to say. */
  #saidInBackground(step: GoldenStep): void {
    this.#notCompared('messages about work in the background', step.messages.length);
  }

  // --- power ------------------------------------------------------------------

  async #boot(step: StepOf<'disks'>, index: number): Promise<void> {
    const { legSectors, logSectors, legs, spare, log } = step.disks;
    this.#logSectors = logSectors;
    if (this.#machine === null) {
      this.#machine = await EmulatedMachine.create({ legSectors, logSectors });
    } else {
      if (this.#powerIsOn) await this.#writeAndCut(this.#input.golden.steps[index + 1]);
      await this.#machine.boot();
    }
    this.#powerIsOn = true;
    this.#background = null;
    const expected = [...legs, spare, log];
    const actual: string[] = [];
    for (const path of ['/dev/vda', '/dev/vdb', '/dev/vdc', '/dev/vdd', '/dev/vde']) {
      actual.push(await this.#machine.map.notice(path));
    }
    if (expected.join() !== actual.join()) this.differs(step, expected, actual);
  }

  /** A boot that no line announced: the next line tells how it came to that. */
  async #writeAndCut(told: GoldenStep | undefined): Promise<void> {
    const form = /^sector (\d+) was written, then the power cut came at once$/;
    const sector = form.exec(told?.text ?? '')?.[1];
    if (sector === undefined) throw new NotUnderstood('a boot that no power cut announced');
    await this.#on.done(
      this.#on.send('/dev/mapper/m', { op: 'write', sector: Number(sector), count: 8 }),
    );
    await this.#on.advance(COMMAND_MS);
    await this.#on.powerCut();
  }

  async #powerCut(step: GoldenStep): Promise<void> {
    if (step.text.endsWith('came at once')) return;
    await this.#on.advance(BEFORE_POWER_CUT_MS);
    await this.#on.powerCut();
    this.#powerIsOn = false;
  }

  // --- commands -----------------------------------------------------------------

  async #command(step: StepOf<'command'>): Promise<void> {
    const machine = this.#on;
    const job = machine.start(step.line, () => this.#perform(step.words));
    if (step.background) {
      this.#background = job;
      await machine.advance(BACKGROUND_MS);
      if (job.error instanceof NotUnderstood) throw job.error;
      return this.#saidInBackground(step);
    }
    if (!(await machine.wait(job, HANGS_MS))) {
      this.differs(step, expectedLines(step), ['the command does not end']);
      return;
    }
    this.#compare(step, await machine.done(job));
    await machine.advance(COMMAND_MS);
  }

  async #perform(words: readonly string[]): Promise<Outcome> {
    const [program = '', ...args] = words;
    if (program === 'dmsetup') return dmsetup(this.#on, args);
    if (program === 'dd') return dd(this.#on, this.#files, args);
    if (program === 'cmp') return cmp(this.#on, args);
    if (program === 'blkdiscard') return blkdiscard(this.#on, args);
    if (program === 'blockdev') return blockdev(this.#on, args);
    if (program === 'cat' && args.join() === '/tmp/requests') {
      return succeeded([...this.#on.logRequests]);
    }
    if (program === 'losetup') return losetup(this.#on, this.#files, args);
    throw new NotUnderstood(`the command "${program}"`);
  }

  async #backgroundEnded(step: StepOf<'background-ended'>): Promise<void> {
    const job = this.#background;
    if (job === null) throw new NotUnderstood('the end of a command that never began');
    if (!step.seenOnly) await this.#on.wait(job, END_BACKGROUND_MS);
    if (!job.ended) {
      this.differs(step, expectedLines(step), ['it still waits']);
      return;
    }
    const outcome = await this.#on.done(job);
    if (!step.seenOnly) this.#compare(step, outcome);
  }

  /** Output, exit status, and for a command that was refused the reasons. */
  #compare(step: GoldenStep, outcome: Outcome): void {
    const output = this.#comparable(step, outcome);
    const actual = [...output.map((line) => `> ${line}`), ...statusLine(outcome.status)];
    const expected = expectedLines(step);
    if (step.status === 0 || !step.text.startsWith('dmsetup ')) {
      this.#saidInBackground(step);
    } else {
      const kernels = reasonsIn(step.messages);
      const ours = sameReasons(kernels, outcome.reasons) ? kernels : outcome.reasons;
      expected.push(...kernels.map((reason) => `! ${formatReason(reason)}`));
      actual.push(...ours.map((reason) => `! ${formatReason(reason)}`));
    }
    if (expected.join('\n') !== actual.join('\n')) this.differs(step, expected, actual);
    else if (this.#isDeparture(step)) {
      this.differences.push({
        lineNumber: step.lineNumber,
        expected: ['a departure of docs/quirks.md'],
        actual: ['the same as the kernel: strike the departure out'],
      });
    }
  }

  #isDeparture(step: GoldenStep): boolean {
    return DEPARTURES.get(this.#input.golden.name)?.has(step.text) ?? false;
  }

  /** Our output, with the kernel's lines in place of those that are compared with nothing. */
  #comparable(step: GoldenStep, outcome: Outcome): string[] {
    if (outcome.listsMore === true) {
      const listed = step.output.filter((line) => outcome.output.includes(line));
      return listed.length === step.output.length ? listed : outcome.output.map(String);
    }
    const uncompared = outcome.output.filter((line) => line === null).length;
    this.#notCompared('properties of a disk that a network block device has not', uncompared);
    return outcome.output.map((line, index) => line ?? step.output[index] ?? '(nothing)');
  }

  // --- what is looked at ------------------------------------------------------

  async #letter(step: StepOf<'letter'>): Promise<void> {
    const [byte = 0] = await this.#on.bytes(step.device, step.sector, 1);
    const letter = byte === 0 ? '0' : String.fromCharCode(byte);
    if (letter === step.letter) return;
    const place = `${step.device}, sector ${step.sector}`;
    this.differs(step, [`# ${step.text}`], [`# ${place}: ${letter}`]);
  }

  async #kept(step: StepOf<'kept'>): Promise<void> {
    const count = Math.ceil(step.byteCount / SECTOR_SIZE);
    const bytes = (await this.#on.bytes(step.device, 0, count)).slice(0, step.byteCount);
    this.#files.set(`${KEPT_DIRECTORY}/${step.file}`, bytes);
    const kernels = this.#input.bytesOf(step.file);
    const at = kernels.findIndex((byte, index) => byte !== bytes[index]);
    if (at < 0 && kernels.length === bytes.length) return;
    const show = (side: Uint8Array): string =>
      `@ ${step.file}: ${side.length} bytes; from byte ${at}: ` +
      Buffer.from(side.subarray(Math.max(at, 0), at + 16)).toString('hex');
    this.differs(step, [show(kernels)], [show(bytes)]);
  }

  async #comment(step: GoldenStep): Promise<void> {
    const action = actionOfComment(step.text, this.#logSectors);
    if (action.kind === 'log-bytes') {
      const count = action.bytes.length / SECTOR_SIZE;
      const write = { op: 'write', sector: 0, count, data: action.bytes } as const;
      await this.#on.done(this.#on.send('/dev/vde', write));
    } else if (action.kind === 'property') {
      this.#property(step, action);
    }
    this.#saidInBackground(step);
  }

  /** Limits of zero and not of zero are told apart: it is supported, or not. */
  #property(step: GoldenStep, property: Extract<CommentAction, { kind: 'property' }>): void {
    const asked = {
      discard_max_bytes: 'discard',
      write_zeroes_max_bytes: 'writeZeroes',
    } as const;
    const capability = asked[property.key as keyof typeof asked];
    if (capability === undefined) {
      this.#notCompared("limits of the kernel's request queues", 1);
      return;
    }
    const supported = ['/dev/mapper/m', '/dev/vda'].map(
      (path) => this.#on.device(path).capabilities[capability],
    );
    const kernels = [property.mirror, property.leg].map((limit) => limit !== '0');
    if (supported.join() === kernels.join()) return;
    this.differs(step, [`${property.key}: ${kernels}`], [`${property.key}: ${supported}`]);
  }

  async #silently(action: SilentAction): Promise<void> {
    if (action.kind === 'ulogd') {
      this.#on.startLogServer();
      return;
    }
    if (action.kind === 'file') {
      this.#files.set(action.path, new Uint8Array(action.byteCount));
      return;
    }
    const { device, sector, count, letter } = action;
    const fill = letter.charCodeAt(0);
    await this.#on.done(this.#on.send(device, { op: 'write', sector, count, fill }));
  }
}

function expectedLines(step: GoldenStep): string[] {
  return [...step.output.map((line) => `> ${line}`), ...statusLine(step.status)];
}

function statusLine(status: number): string[] {
  return status === 0 ? [] : [`? ${status}`];
}
