/** All that can be fuzzed, and the cases that are kept of each. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { CONTROL_TARGET } from './control-target.ts';
import type { CorpusEntry, FuzzTarget } from './fuzz-case.ts';
import { NBD_CLIENT_TARGET } from './nbd-client-target.ts';
import { NBD_SERVER_TARGET } from './nbd-server-target.ts';
import { NBD_SOCKETS_TARGET } from './nbd-sockets-target.ts';
import { TEXT_TARGETS } from './text-targets.ts';

export const TARGETS: readonly FuzzTarget[] = [
  NBD_SERVER_TARGET,
  NBD_CLIENT_TARGET,
  NBD_SOCKETS_TARGET,
  CONTROL_TARGET,
  ...TEXT_TARGETS,
];

const CORPUS = join(import.meta.dirname, 'corpus');

/** The files kept of a target, in the order of their names. */
export function corpusOf(target: FuzzTarget): CorpusEntry[] {
  const directory = join(CORPUS, target.name);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(directory, name), 'utf8') }));
}

/** Keeps a case; gives its path from the root of the project. */
export function keepInCorpus(target: FuzzTarget, name: string, text: string): string {
  const directory = join(CORPUS, target.name);
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${name}.txt`);
  writeFileSync(path, text);
  return relative(join(import.meta.dirname, '../..'), path);
}
