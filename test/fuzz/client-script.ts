/**
 * What a hostile server says to our client, as text: the wishes of the client, then bytes, requests
 * and replies to them. A reply carries the cookie of its request, which only the run knows.
 */

import type { ReplyForm } from '../../src/nbd/client/negotiation.ts';
import { readBytes, writeBytes } from './episode.ts';

export interface ScriptSetup {
  readonly form: ReplyForm;
  readonly contexts: readonly string[];
  /** At most so many bytes come with one read. */
  readonly readBytesMax: number;
}

/**
 * - `say`: bytes as they are. - `reply`: to the request that was asked as number `to`: bytes 8 to
 *   15 become its cookie. - `ask`: the client asks. - `end`: the server ends its side.
 * - `stall`, `read`: the server takes no bytes, and takes them again. - `wait`: milliseconds pass.
 */
export type ScriptStep =
  | { readonly kind: 'say'; readonly bytes: Buffer }
  | { readonly kind: 'reply'; readonly to: number; readonly bytes: Buffer }
  | {
      readonly kind: 'ask';
      readonly command: number;
      readonly offset: number;
      readonly length: number;
    }
  | { readonly kind: 'end' | 'stall' | 'read' }
  | { readonly kind: 'wait'; readonly value: number };

export interface ClientScript {
  readonly setup: ScriptSetup;
  readonly steps: readonly ScriptStep[];
}

export function writeScript({ setup, steps }: ClientScript, about: string): string {
  const comment = about.replace(/^/gm, '# ');
  const lines = steps.map((step) => {
    switch (step.kind) {
      case 'say':
        return `say ${writeBytes(step.bytes)}`;
      case 'reply':
        return `reply ${step.to} ${writeBytes(step.bytes)}`;
      case 'ask':
        return `ask ${step.command} ${step.offset} ${step.length}`;
      case 'wait':
        return `wait ${step.value}`;
      default:
        return step.kind;
    }
  });
  return `${comment}\nsetup ${JSON.stringify(setup)}\n${lines.join('\n')}\n`;
}

/** @throws Error naming a line that is none. */
export function readScript(text: string): ClientScript {
  let setup: ScriptSetup = { form: 'simple', contexts: [], readBytesMax: 2 ** 20 };
  const steps: ScriptStep[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('setup ')) setup = { ...setup, ...JSON.parse(line.slice(6)) };
    else steps.push(readStep(line));
  }
  return { setup, steps };
}

function readStep(line: string): ScriptStep {
  const [kind = '', ...rest] = line.split(' ');
  const [first = 0, second = 0, third = 0] = rest.map(Number);
  switch (kind) {
    case 'say':
      return { kind, bytes: readBytes(rest.join(' ')) };
    case 'reply':
      return { kind, to: first, bytes: readBytes(rest.slice(1).join(' ')) };
    case 'ask':
      return { kind, command: first, offset: second, length: third };
    case 'wait':
      return { kind, value: first };
    case 'end':
    case 'stall':
    case 'read':
      return { kind };
    default:
      throw new Error(`Not a step of a script: "${line}"`);
  }
}
