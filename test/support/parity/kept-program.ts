/**
 * A program in a file, with what the kernel did: `scripts/parity --replay` reads it, `--keep`
 * writes it.
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from './program.ts';

/** Programs that once differed. The emulator has to do what the kernel did then. */
export const FOUND_DIRECTORY = join(import.meta.dirname, '../../parity/found');

export interface KeptProgram {
  /** What it is about, in a line for people. */
  readonly about: string;
  readonly program: Program;
  /** The kernel's transcript. */
  readonly kernel: readonly string[];
}

export function readKeptProgram(path: string): KeptProgram {
  const kept = JSON.parse(readFileSync(path, 'utf8')) as Partial<KeptProgram>;
  if (kept.program?.steps === undefined) throw new TypeError(`${path} has no program`);
  return { about: kept.about ?? '', program: kept.program, kernel: kept.kernel ?? [] };
}

/** Returns the path, which is the program's name in the directory. */
export function keepProgram(directory: string, kept: KeptProgram): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${kept.program.name.replaceAll(/[^\w.-]/g, '-')}.json`);
  writeFileSync(path, `${JSON.stringify(kept, null, 1)}\n`);
  return path;
}

export function keptPrograms(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => join(directory, name));
}
