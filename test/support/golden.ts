/**
 * The kernel's transcripts in test/golden, as steps; the form is described in its README.
 *
 * A step is one thing done or noted, with what came of it: lines of output, an exit status, what
 * the kernel logged. Nothing of a file is lost: `formatGoldenCase` gives back its text.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from '../../src/base/assert.ts';

/** Where the project's own recordings are. */
export const GOLDEN_DIRECTORY = join(import.meta.dirname, '../golden');

export type GoldenAction =
  /** The machine was booted; these are its disks. */
  | { readonly kind: 'disks'; readonly disks: GoldenDisks }
  /**
   * A command; `words` as a shell would split it, `line` as it stands, several lines joined by \n.
   */
  | {
      readonly kind: 'command';
      readonly line: string;
      readonly words: readonly string[];
      /** It runs on; what came of it stands at a later `background-ended`. */
      readonly background: boolean;
    }
  | { readonly kind: 'background-ended'; readonly seenOnly: boolean }
  | { readonly kind: 'background-waits' }
  | { readonly kind: 'wait'; readonly seconds: number }
  | { readonly kind: 'wait-sync'; readonly device: string }
  | { readonly kind: 'power-cut' }
  /** The first byte of a sector, as a letter; "0" for a zero byte. */
  | {
      readonly kind: 'letter';
      readonly device: string;
      readonly sector: number;
      readonly letter: string;
    }
  /** The start of a device was kept as a file. */
  | {
      readonly kind: 'kept';
      readonly file: string;
      readonly byteCount: number;
      readonly device: string;
    }
  | { readonly kind: 'comment' };

export interface GoldenDisks {
  readonly legs: readonly string[];
  readonly spare: string;
  readonly log: string;
  readonly legSectors: number;
  readonly logSectors: number;
}

export type GoldenStep = GoldenAction & {
  /** The line or lines that stand for it, without the mark. */
  readonly text: string;
  readonly output: readonly string[];
  readonly status: number;
  readonly messages: readonly string[];
  /** Number of its first line in the file, from 1. */
  readonly lineNumber: number;
};

export interface GoldenCase {
  readonly name: string;
  readonly title: string;
  readonly steps: readonly GoldenStep[];
}

/** The names of all cases of a directory, sorted. */
export function goldenCaseNames(directory: string = GOLDEN_DIRECTORY): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.txt'))
    .map((file) => file.slice(0, -'.txt'.length))
    .sort();
}

export function goldenText(name: string, directory: string = GOLDEN_DIRECTORY): string {
  return readFileSync(join(directory, `${name}.txt`), 'utf8');
}

/** Raw bytes that a case kept: `disk-fresh.synced.bin`. */
export function goldenBytes(file: string, directory: string = GOLDEN_DIRECTORY): Uint8Array {
  return new Uint8Array(readFileSync(join(directory, file)));
}

export function loadGoldenCase(name: string, directory: string = GOLDEN_DIRECTORY): GoldenCase {
  return parseGoldenCase(name, goldenText(name, directory));
}

/** Throws, with the line's number, at anything that the form does not allow. */
export function parseGoldenCase(name: string, text: string): GoldenCase {
  const lines = text.split('\n');
  assert(lines.pop() === '', `${name}: the last line does not end`);
  const heading = `# ${name}: `;
  const first = lines[0] ?? '';
  assert(first.startsWith(heading), `${name}:1: title is "${first}", must begin with "${heading}"`);
  const steps: StepDraft[] = [];
  for (const [index, line] of lines.entries()) {
    if (index > 0) takeLine(steps, line, `${name}:${index + 1}`, index + 1);
  }
  return { name, title: first.slice(heading.length), steps: steps.map(finishStep) };
}

/** The text of the file that the case was read from. */
export function formatGoldenCase({ name, title, steps }: GoldenCase): string {
  const lines = [`# ${name}: ${title}`];
  for (const step of steps) {
    const [first, ...more] = step.text.split('\n');
    lines.push(`${markOf(step.kind)} ${first}`, ...more.map((line) => `+ ${line}`));
    lines.push(...step.output.map((line) => `> ${line}`));
    if (step.status !== 0) lines.push(`? ${step.status}`);
    lines.push(...step.messages.map((line) => `! ${line}`));
  }
  return `${lines.join('\n')}\n`;
}

interface StepDraft {
  readonly mark: string;
  text: string;
  readonly output: string[];
  status: number;
  readonly messages: string[];
  readonly lineNumber: number;
}

/** What may come behind what inside one step: output, then the status, then messages. */
function takeLine(steps: StepDraft[], line: string, where: string, lineNumber: number): void {
  const mark = line.slice(0, 1);
  const rest = line.slice(2);
  assert(line.slice(1, 2) === ' ', `${where}: "${line}" does not begin with a mark and a space`);
  if ('#=$@'.includes(mark)) {
    steps.push({ mark, text: rest, output: [], status: 0, messages: [], lineNumber });
    return;
  }
  const step = steps.at(-1);
  assert(step !== undefined, `${where}: "${mark}" stands before anything was done`);
  const untouched = step.output.length === 0 && step.status === 0 && step.messages.length === 0;
  if (mark === '+') {
    assert(step.mark === '$' && untouched, `${where}: "+" does not follow its command`);
    step.text += `\n${rest}`;
  } else if (mark === '>') {
    assert(step.status === 0 && step.messages.length === 0, `${where}: ">" stands too late`);
    step.output.push(rest);
  } else if (mark === '?') {
    assert(/^[1-9][0-9]*$/.test(rest), `${where}: status is "${rest}", must be a positive number`);
    assert(step.status === 0 && step.messages.length === 0, `${where}: "?" stands too late`);
    step.status = Number(rest);
  } else {
    assert(mark === '!', `${where}: unknown mark "${mark}"`);
    step.messages.push(rest);
  }
}

function finishStep(draft: StepDraft): GoldenStep {
  const { mark, ...rest } = draft;
  const where = `line ${draft.lineNumber}`;
  if (mark === '=') return { ...rest, kind: 'disks', disks: parseDisks(draft.text, where) };
  if (mark === '@') return { ...rest, ...parseKept(draft.text, where) };
  if (mark === '#') return { ...rest, ...parseComment(draft.text) };
  const background = draft.text.endsWith(' &');
  const line = background ? draft.text.slice(0, -2) : draft.text;
  return { ...rest, kind: 'command', line, words: splitWords(line, where), background };
}

function markOf(kind: GoldenStep['kind']): string {
  if (kind === 'disks') return '=';
  if (kind === 'command') return '$';
  return kind === 'kept' ? '@' : '#';
}

function parseDisks(text: string, where: string): GoldenDisks {
  const number = '[0-9]+:[0-9]+';
  const form = new RegExp(
    `^legs (${number}) (${number}) (${number}), spare (${number}), ([0-9]+) sectors each; ` +
      `log (${number}), ([0-9]+) sectors$`,
  );
  const found = form.exec(text);
  assert(found !== null, `${where}: disks are "${text}"`);
  const [, leg0, leg1, leg2, spare, legSectors, log, logSectors] = found;
  return {
    legs: [leg0!, leg1!, leg2!],
    spare: spare!,
    log: log!,
    legSectors: Number(legSectors),
    logSectors: Number(logSectors),
  };
}

function parseKept(text: string, where: string): GoldenAction {
  const found = /^(\S+): the first ([0-9]+) bytes of (\S+)$/.exec(text);
  assert(found !== null, `${where}: kept bytes are "${text}"`);
  return { kind: 'kept', file: found[1]!, byteCount: Number(found[2]), device: found[3]! };
}

function parseComment(text: string): GoldenAction {
  if (text === 'the command in the background has ended:') {
    return { kind: 'background-ended', seenOnly: false };
  }
  if (text === 'the command in the background has ended') {
    return { kind: 'background-ended', seenOnly: true };
  }
  if (text === 'the command in the background still waits') return { kind: 'background-waits' };
  if (text.startsWith('power cut: ') || text.endsWith('the power cut came at once')) {
    return { kind: 'power-cut' };
  }
  const waited = /^wait ([0-9.]+) seconds$/.exec(text);
  if (waited !== null) return { kind: 'wait', seconds: Number(waited[1]) };
  const synced = /^wait until all regions of (\S+) are in sync$/.exec(text);
  if (synced !== null) return { kind: 'wait-sync', device: synced[1]! };
  const letter = /^(\/dev\/\S+), sector ([0-9]+): (\S)$/.exec(text);
  if (letter === null) return { kind: 'comment' };
  return {
    kind: 'letter',
    device: letter[1]!,
    sector: Number(letter[2]),
    letter: letter[3]!,
  };
}

/**
 * Words are split at spaces, but not inside single quotes, which the recorder puts around a word.
 */
function splitWords(line: string, where: string): string[] {
  const words: string[] = [];
  for (let rest = line; rest !== ''; ) {
    const found = /^ *(?:'([^']*)'|([^' ]+))(?= |$)/.exec(rest);
    assert(found !== null, `${where}: cannot split "${rest}" into words`);
    words.push(found[1] ?? found[2]!);
    rest = rest.slice(found[0].length);
  }
  return words;
}
