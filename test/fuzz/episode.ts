/**
 * What a fuzzer lets a server go through: a set-up, and steps of several clients and of the
 * device. Written as text, a line for each step, so that a finding can be kept, read and edited.
 */

import type { TlsMode } from '../../src/nbd/tls.ts';

export interface Setup {
  /** Decides in which order held requests end, and nothing else. */
  readonly seed: string;
  readonly sectors: number;
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly discard: boolean;
  readonly writeZeroes: boolean;
  /** The export under fuzzing is the default one as well. */
  readonly isDefault: boolean;
  /** Limits of the server; null for its own. */
  readonly payloadBytesMax: number | null;
  readonly connectionsMax: number | null;
  readonly tls: TlsMode;
  /** The second export needs TLS, where there is any. */
  readonly hasSecret: boolean;
}

const DEFAULT_SETUP: Setup = {
  seed: '1',
  sectors: 256,
  blockSize: 512,
  readOnly: false,
  discard: true,
  writeZeroes: true,
  isDefault: true,
  payloadBytesMax: null,
  connectionsMax: null,
  tls: 'off',
  hasSecret: false,
};

/**
 * - `connect`: `value` is the most bytes that one read of the server gets.
 * - `send`: one message. - `hello`: the client begins TLS, or says so in the clear.
 * - `end`: the client ends its side. - `break`: it is gone.
 * - `stall`, `read`: it takes no replies, and takes them again.
 * - `wait`: `value` milliseconds pass.
 * - `hold`: the device holds requests. - `release`: it ends `value` of them. - `mend`: all, and
 *   later ones at once. - `fail`: its next `value` requests fail with `errno`.
 * - `stop`: the server stops with a grace of `value` ms. - `remove`: the export is taken away.
 */
export type Step =
  | { readonly kind: 'send'; readonly client: number; readonly bytes: Buffer }
  | { readonly kind: 'connect'; readonly client: number; readonly value: number }
  | { readonly kind: 'hello' | 'end' | 'break' | 'stall' | 'read'; readonly client: number }
  | { readonly kind: 'wait' | 'stop'; readonly value: number }
  | { readonly kind: 'release'; readonly value: number }
  | { readonly kind: 'fail'; readonly value: number; readonly errno: number }
  | { readonly kind: 'hold' }
  | { readonly kind: 'mend' }
  | { readonly kind: 'remove' };

export interface Episode {
  readonly setup: Setup;
  readonly steps: readonly Step[];
}

const CLIENT_STEPS = ['hello', 'end', 'break', 'stall', 'read'] as const;
const VALUE_STEPS = ['wait', 'release', 'stop'] as const;
const BARE_STEPS = ['hold', 'mend', 'remove'] as const;

export function writeEpisode({ setup, steps }: Episode, about: string): string {
  const comment = about
    .split('\n')
    .map((line) => `# ${line}\n`)
    .join('');
  return `${comment}setup ${JSON.stringify(setup)}\n${steps.map(writeStep).join('')}`;
}

function writeStep(step: Step): string {
  switch (step.kind) {
    case 'send':
      return `send ${step.client} ${writeBytes(step.bytes)}\n`;
    case 'connect':
      return `connect ${step.client} ${step.value}\n`;
    case 'fail':
      return `fail ${step.value} ${step.errno}\n`;
    default: {
      const words: (string | number)[] = [step.kind];
      if ('client' in step) words.push(step.client);
      if ('value' in step) words.push(step.value);
      return `${words.join(' ')}\n`;
    }
  }
}

/** @throws Error naming a line that is none. */
export function readEpisode(text: string): Episode {
  let setup = DEFAULT_SETUP;
  const steps: Step[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('setup ')) setup = { ...setup, ...JSON.parse(line.slice(6)) };
    else steps.push(readStep(line));
  }
  return { setup, steps };
}

function readStep(line: string): Step {
  const [kind = '', first = '', ...rest] = line.split(' ');
  const number = Number(first);
  if (kind === 'send') return { kind, client: number, bytes: readBytes(rest.join(' ')) };
  if (kind === 'connect') return { kind, client: number, value: Number(rest[0]) };
  if (kind === 'fail') return { kind, value: number, errno: Number(rest[0]) };
  const ofClient = CLIENT_STEPS.find((one) => one === kind);
  if (ofClient !== undefined) return { kind: ofClient, client: number };
  const ofValue = VALUE_STEPS.find((one) => one === kind);
  if (ofValue !== undefined) return { kind: ofValue, value: number };
  const bare = BARE_STEPS.find((one) => one === kind);
  if (bare !== undefined) return { kind: bare };
  throw new Error(`Not a step of an episode: "${line}"`);
}

/** Hexadecimal, with `5a*512` for a byte repeated. */
export function writeBytes(bytes: Uint8Array): string {
  const words: string[] = [];
  let plain = '';
  for (let at = 0; at < bytes.length; ) {
    let end = at + 1;
    while (end < bytes.length && bytes[end] === bytes[at]) end += 1;
    const hex = bytes[at]!.toString(16).padStart(2, '0');
    if (end - at >= 8) {
      if (plain !== '') words.push(plain);
      plain = '';
      words.push(`${hex}*${end - at}`);
    } else {
      plain += hex.repeat(end - at);
    }
    at = end;
  }
  if (plain !== '') words.push(plain);
  return words.join(' ');
}

export function readBytes(text: string): Buffer {
  const parts = text.split(' ').filter((word) => word !== '');
  return Buffer.concat(
    parts.map((part) => {
      const [hex = '', count = '1'] = part.split('*');
      return Buffer.from(hex.repeat(Number(count)), 'hex');
    }),
  );
}
