/**
 * What a case does without a line in its transcript: its script writes letters (`fill`), makes
 * empty files (`truncate`) and starts the log server (`ulogd`) silently. The script says what;
 * where in the transcript it belongs is found by following the script's other lines through the
 * transcript.
 *
 * Only lines at the left margin and without variables count; a silent action that is not so is
 * refused.
 */

import { assert } from '../../../src/base/assert.ts';
import type { GoldenStep } from '../golden.ts';
import { size } from './block-tools.ts';

export type SilentAction =
  | {
      readonly kind: 'fill';
      readonly device: string;
      readonly letter: string;
      readonly sector: number;
      readonly count: number;
    }
  | { readonly kind: 'file'; readonly path: string; readonly byteCount: number }
  /** The log server runs from here on. */
  | { readonly kind: 'ulogd' };

/** Actions by the index of the step before which they are done. */
export type SilentActions = ReadonlyMap<number, readonly SilentAction[]>;

export function silentActions(script: string, steps: readonly GoldenStep[]): SilentActions {
  const actions = new Map<number, SilentAction[]>();
  let pending: { action: SilentAction; line: string }[] = [];
  /** Where the script's next visible line can be, at the earliest. */
  let cursor = 0;
  for (const line of script.split('\n')) {
    const action = actionOf(line);
    if (action !== null) {
      pending.push({ action, line });
      continue;
    }
    const mark = visibleMark(line);
    if (mark === null) continue;
    const at = steps.findIndex((step, index) => index >= cursor && lineOf(step).startsWith(mark));
    if (at < 0) continue;
    if (pending.length > 0) {
      actions.set(at, [...(actions.get(at) ?? []), ...pending.map((one) => one.action)]);
      pending = [];
    }
    cursor = at + 1;
  }
  assert(pending.length === 0, `cannot place "${pending[0]?.line}" of the script`);
  return actions;
}

function actionOf(line: string): SilentAction | null {
  const words = line.trim().split(/\s+/);
  if (line === 'ulogd >/tmp/requests &') return { kind: 'ulogd' };
  if (words[0] !== 'fill' && words[0] !== 'truncate') return null;
  assert(!/^\s|\$/.test(line), `"${line}" of the script depends on something`);
  if (words[0] === 'truncate') {
    assert(words[1] === '-s', `"${line}" of the script is not understood`);
    return { kind: 'file', path: words[3]!, byteCount: size(words[2]!) };
  }
  const [, device, letter, sector, count] = words;
  return {
    kind: 'fill',
    device: device!,
    letter: letter!,
    sector: size(sector!),
    count: size(count!),
  };
}

/** How the transcript's line begins that a line of the script leaves; null: none, or unknown. */
function visibleMark(line: string): string | null {
  const [, word, rest = ''] = /^(\w+) (.*)$/.exec(line) ?? [];
  const literal = rest.replace(/ ?["'$].*$/, '');
  const first = literal.split(' ')[0] ?? '';
  if (word === 'act' || word === 'background') return `$ ${literal}`;
  if (word === 'note') return `# ${rest.slice(1, -1)}`;
  if (word === 'letters') return `# ${literal.split(' ').slice(0, 2).join(', sector ')}: `;
  if (word === 'show') return `$ dmsetup table ${first}`;
  if (word === 'wait_sync') return `# wait until all regions of ${first} are`;
  if (word === 'settle') return `# wait ${first} seconds`;
  if (word === 'over') return `$ dmsetup create ${first} `;
  if (word === 'held_after') return `$ dmsetup create ${first}_rest `;
  if (word === 'flush_fails') return `$ dmsetup create ${first}_bad `;
  if (word === 'retable' || word === 'hold')
    return `$ dmsetup suspend --noflush --nolockfs ${first}`;
  if (word === 'release') return `$ dmsetup resume ${first}`;
  return null;
}

function lineOf(step: GoldenStep): string {
  if (step.kind === 'command') return `$ ${step.text}`;
  return step.kind === 'kept' ? `@ ${step.text}` : `# ${step.text}`;
}
