/** The table of verbs: every way to drive the daemon, for the command line and over HTTP. */

import type { Verb } from '../verb.ts';
import { faultListVerb, faultRemoveVerb, faultVerb } from './fault-commands.ts';
import {
  clearVerb,
  createVerb,
  loadVerb,
  renameVerb,
  resumeVerb,
  suspendVerb,
  wipeTableVerb,
} from './lifecycle-commands.ts';
import { removeAllVerb, removeVerb } from './remove-commands.ts';
import {
  depsVerb,
  infoVerb,
  lsVerb,
  measureVerb,
  statusVerb,
  tableVerb,
  targetsVerb,
  targetVersionVerb,
  versionVerb,
} from './report-commands.ts';
import { splitVerb } from './split-command.ts';
import { stallsVerb } from './stalls-command.ts';
import { treeVerb } from './tree-command.ts';
import { messageVerb, waitVerb } from './waiting-commands.ts';

export const VERBS: readonly Verb[] = [
  createVerb,
  removeVerb,
  removeAllVerb,
  lsVerb,
  treeVerb,
  infoVerb,
  targetsVerb,
  targetVersionVerb,
  versionVerb,
  tableVerb,
  statusVerb,
  measureVerb,
  depsVerb,
  suspendVerb,
  resumeVerb,
  loadVerb,
  clearVerb,
  wipeTableVerb,
  renameVerb,
  waitVerb,
  messageVerb,
  faultVerb,
  faultListVerb,
  faultRemoveVerb,
  splitVerb,
  stallsVerb,
];

const BY_NAME = new Map(
  VERBS.flatMap((verb) => [verb.name, ...(verb.aliases ?? [])].map((name) => [name, verb])),
);

export function findVerb(name: string): Verb | null {
  return BY_NAME.get(name) ?? null;
}
