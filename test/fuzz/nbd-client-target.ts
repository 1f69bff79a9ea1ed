/** Our client against a server that says what it should not. */

import { type ClientScript, readScript, type ScriptStep, writeScript } from './client-script.ts';
import { drawScript } from './draw-script.ts';
import type { FuzzCase, FuzzTarget } from './fuzz-case.ts';
import { playScript, type ScriptCanary } from './play-script.ts';
import { recordedMessages } from './recorded-messages.ts';
import { leavingOut, shorterBytes } from './smaller.ts';

const CANARIES: Readonly<Record<string, ScriptCanary>> = {
  'forgotten-request': ({ error }) => (error === 28 ? 'forgotten' : 'returned'),
  'missing-byte': ({ command, length, data }) => {
    if (command === 0 && length === 70_000) data!.fill(0xee, length - 1);
    return 'returned';
  },
  'stray-byte': ({ command, length, data }) => {
    if (command === 0 && length === 1) new Uint8Array(data!.buffer)[0] = 0;
    return 'returned';
  },
};

export const NBD_CLIENT_TARGET: FuzzTarget = {
  name: 'nbd-client',
  about: 'our client, with a server that answers wrongly',
  canaries: Object.keys(CANARIES),
  draw: (seed) => {
    const { script, messages, mutated } = drawScript(seed, recordedMessages());
    return scriptCase(script, messages, mutated);
  },
  read: (text) => scriptCase(readScript(text), 0, 0),
};

function scriptCase(script: ClientScript, messages: number, mutated: number): FuzzCase {
  return {
    messages,
    mutated,
    play: async (canary) => playScript(script, canary === null ? undefined : CANARIES[canary]),
    smaller: function* () {
      const { setup, steps } = script;
      for (const fewer of leavingOut(steps)) yield scriptCase({ setup, steps: fewer }, 0, 0);
      for (const [at, step] of steps.entries()) {
        for (const simpler of simplerSteps(step)) {
          yield scriptCase({ setup, steps: steps.with(at, simpler) }, 0, 0);
        }
      }
    },
    write: (about) => writeScript(script, about),
  };
}

function* simplerSteps(step: ScriptStep): Generator<ScriptStep> {
  if (step.kind !== 'say' && step.kind !== 'reply') return;
  for (const bytes of shorterBytes(step.bytes)) yield { ...step, bytes };
}
