/** An episode from a seed: several clients at once, each with a conversation; a moody device. */

import { EINVAL, EIO, ENOSPC, EOPNOTSUPP, EROFS } from '../../src/base/errno.ts';
import { Prng } from '../../src/base/prng.ts';
import * as wire from '../support/nbd-wire.ts';
import type { Episode, Setup, Step } from './episode.ts';
import {
  type DrawnFacts,
  drawAgreement,
  drawClientFlags,
  drawLastOption,
  drawOption,
  drawRequest,
  mutate,
} from './nbd-grammar.ts';
import { HOLLOW_SECTORS } from './play-episode.ts';

const ERRNOS = [EIO, EIO, ENOSPC, EINVAL, EROFS, EOPNOTSUPP];
const CLIENTS_MAX = 5;
const REQUESTS_MAX = 60;
const STARTTLS = wire.option(5);

export interface DrawnEpisode {
  readonly episode: Episode;
  readonly messages: number;
  readonly mutated: number;
}

interface Draw {
  readonly prng: Prng;
  readonly setup: Setup;
  /** Messages of recorded conversations, to be spliced in. */
  readonly seeds: readonly Buffer[];
  messages: number;
  mutated: number;
}

export function drawEpisode(
  seed: string,
  seeds: readonly Buffer[],
  fixed: Partial<Setup> = {},
): DrawnEpisode {
  const prng = new Prng(seed);
  const setup = { ...drawSetup(prng, seed), ...fixed };
  const draw: Draw = { prng, setup, seeds, messages: 0, mutated: 0 };
  const clients = prng.between(1, CLIENTS_MAX);
  const scripts = Array.from({ length: clients }, (_, client) => drawScript(draw, client));
  const moody = prng.chance(1, 2);
  const steps = interleave(prng, scripts, () => (moody ? drawMood(prng) : null));
  const end = drawEnd(prng);
  if (end !== null) steps.splice(prng.between(Math.floor(steps.length / 2), steps.length), 0, end);
  return { episode: { setup, steps }, messages: draw.messages, mutated: draw.mutated };
}

function drawSetup(prng: Prng, seed: string): Setup {
  return {
    seed,
    sectors: prng.pick([64, 128, 256, 256, 1024]) + prng.pick([0, 0, 0, 8]),
    blockSize: prng.pick([512, 512, 4096]),
    readOnly: prng.chance(1, 10),
    discard: prng.chance(3, 4),
    writeZeroes: prng.chance(1, 2),
    isDefault: prng.chance(1, 2),
    payloadBytesMax: prng.pick([null, null, 2 ** 16, 2 ** 20]),
    connectionsMax: prng.chance(1, 10) ? prng.between(2, 4) : null,
    tls: prng.pick(['off', 'off', 'on', 'require']),
    hasSecret: prng.chance(1, 2),
  };
}

/** One client from its first byte to its last. */
function drawScript(draw: Draw, client: number): Step[] {
  const { prng, setup } = draw;
  const steps: Step[] = [{ kind: 'connect', client, value: drawReadBytes(prng) }];
  // A client that goes wrong in one message of ten gets no further; most of them are better.
  const wildness = prng.pick([0, 0, 200, 60, 15]);
  const say = (bytes: Buffer, mutated: boolean): void => {
    let said = bytes;
    let isMutated = mutated;
    if (wildness > 0 && prng.chance(1, wildness)) {
      said = mutate(prng, bytes, draw.seeds);
      isMutated = true;
    }
    draw.messages += 1;
    if (isMutated) draw.mutated += 1;
    for (const piece of cutInPieces(prng, said)) steps.push({ kind: 'send', client, bytes: piece });
    const wantsTls = said.equals(STARTTLS) && setup.tls !== 'off';
    if (prng.chance(wantsTls ? 7 : 1, wantsTls ? 8 : 300)) steps.push({ kind: 'hello', client });
  };
  const hollow = prng.chance(1, 6);
  const facts: DrawnFacts = {
    size: 512 * (hollow ? HOLLOW_SECTORS : setup.sectors),
    exportName: hollow ? 'hollow' : setup.isDefault ? '' : 'data',
    extended: false,
    cookie: BigInt(client) << 32n,
  };
  say(drawClientFlags(prng), false);
  if (setup.tls !== 'off' && prng.chance(4, 5)) {
    for (let i = prng.pick([0, 0, 0, 2]); i > 0; i--) say(drawOption(prng), true);
    for (const option of prng.chance(1, 3) ? drawAgreement(prng, facts) : []) say(option, true);
    say(STARTTLS, false);
  }
  for (let i = prng.pick([0, 0, 1, 3, 8, 40]); i > 0; i--) say(drawOption(prng), true);
  for (const option of drawAgreement(prng, facts)) {
    if (option.readUInt32BE(8) === 11) facts.extended = true;
    say(option, false);
  }
  say(drawLastOption(prng, facts), false);
  for (let i = prng.between(0, REQUESTS_MAX); i > 0; i--) {
    const { bytes, mutated } = drawRequest(prng, facts);
    say(bytes, mutated);
    if (prng.chance(1, 40)) steps.push({ kind: prng.pick(['stall', 'read', 'read']), client });
  }
  const end = prng.pick(['end', 'break', 'disc', 'disc-end', 'none'] as const);
  if (end.startsWith('disc')) say(encodeDisc(facts.extended), false);
  if (end.endsWith('end')) steps.push({ kind: 'end', client });
  if (end === 'break') steps.push({ kind: 'break', client });
  return steps;
}

/** Byte by byte is dear, and most of it is found with a few bytes at a time. */
function drawReadBytes(prng: Prng): number {
  return prng.chance(1, 16) ? prng.between(1, 3) : prng.pick([17, 100, 2 ** 20, 2 ** 20]);
}

function encodeDisc(extended: boolean): Buffer {
  const bytes = Buffer.alloc(extended ? 32 : 28);
  bytes.writeUInt32BE(extended ? 0x21e41c71 : 0x25609513, 0);
  bytes.writeUInt16BE(2, 6);
  return bytes;
}

function cutInPieces(prng: Prng, bytes: Buffer): Buffer[] {
  if (bytes.length < 2 || !prng.chance(1, 10)) return [bytes];
  const cut = prng.between(1, bytes.length - 1);
  return [bytes.subarray(0, cut), bytes.subarray(cut)];
}

/** The clients take turns at random; between them the device, or time, has a say. */
function interleave(prng: Prng, scripts: Step[][], other: () => Step | null): Step[] {
  const steps: Step[] = [];
  const next = scripts.map(() => 0);
  // Clients in order are half of all: what one leaves behind the next one meets.
  const inOrder = prng.chance(1, 2);
  for (;;) {
    const live = scripts.flatMap((script, index) => (next[index]! < script.length ? [index] : []));
    if (live.length === 0) return steps;
    const index = inOrder ? live[0]! : prng.pick(live);
    for (let run = prng.between(1, 4); run > 0 && next[index]! < scripts[index]!.length; run--) {
      steps.push(scripts[index]![next[index]!]!);
      next[index]! += 1;
    }
    const step = prng.chance(1, 6) ? other() : null;
    if (step !== null) steps.push(step);
  }
}

function drawMood(prng: Prng): Step {
  switch (prng.between(0, 8)) {
    case 0:
    case 1:
      return { kind: 'hold' };
    case 2:
    case 3:
    case 4:
      return { kind: 'release', value: prng.between(1, 8) };
    case 5:
    case 6:
      return { kind: 'mend' };
    case 7:
      return { kind: 'fail', value: prng.between(1, 4), errno: prng.pick(ERRNOS) };
    default:
      return { kind: 'wait', value: prng.pick([1, 1000, 2500, 6000, 11_000]) };
  }
}

function drawEnd(prng: Prng): Step | null {
  if (prng.chance(1, 12)) return { kind: 'stop', value: prng.pick([0, 1000, 10_000]) };
  return prng.chance(1, 16) ? { kind: 'remove' } : null;
}
