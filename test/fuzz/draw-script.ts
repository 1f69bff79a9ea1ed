/** A hostile server from a seed: a handshake and replies as they should be, and then not quite. */

import { Prng } from '../../src/base/prng.ts';
import type { ReplyForm } from '../../src/nbd/client/negotiation.ts';
import * as wire from '../support/nbd-wire.ts';
import type { ClientScript, ScriptStep } from './client-script.ts';
import { mutate } from './nbd-grammar.ts';
import { UNTOUCHED } from './play-script.ts';

const SIZE = 2 ** 20;
const CONTEXTS = ['base:allocation', 'x:y'];
const NO_COOKIE = Buffer.alloc(8);
const LENGTHS = [0, 1, 7, 8, 16, 512, 4096, 65_536, 2 ** 25, 2 ** 26 + 9, 2 ** 31, 2 ** 32 - 1];

export interface DrawnScript {
  readonly script: ClientScript;
  readonly messages: number;
  readonly mutated: number;
}

interface Draw {
  readonly prng: Prng;
  readonly form: ReplyForm;
  readonly contexts: readonly string[];
  readonly steps: ScriptStep[];
  readonly seeds: readonly Buffer[];
  messages: number;
  mutated: number;
}

export function drawScript(seed: string, seeds: readonly Buffer[]): DrawnScript {
  const prng = new Prng(seed);
  const form = prng.pick(['simple', 'structured', 'extended'] as const);
  const contexts = form !== 'simple' && prng.chance(1, 2) ? CONTEXTS : [];
  const draw: Draw = { prng, form, contexts, steps: [], seeds, messages: 0, mutated: 0 };
  drawHandshake(draw, prng.pick([0, 0, 0, 4]));
  drawTransmission(draw, prng.pick([0, 12, 5, 2]));
  const setup = { form, contexts, readBytesMax: prng.pick([1, 5, 40, 2 ** 20, 2 ** 20]) };
  const { steps, messages, mutated } = draw;
  return { script: { setup, steps }, messages, mutated };
}

/** `wildness`: one message of so many is spoilt; 0 for none. */
function drawHandshake(draw: Draw, wildness: number): void {
  const { prng, form, contexts } = draw;
  const say = (bytes: Buffer): void => addSay(draw, bytes, wildness);
  say(wire.GREETING);
  if (form !== 'simple') say(wire.optionReply(form === 'extended' ? 11 : 8, wire.ACK));
  if (contexts.length > 0) {
    for (const [id, name] of contexts.entries()) say(contextReply(id, name));
    say(wire.optionReply(10, wire.ACK));
  }
  const size = wildness > 0 && prng.chance(1, 4) ? prng.pick([2n ** 63n, 2n ** 53n, 0n]) : SIZE;
  say(wire.optionReply(7, 3, Buffer.concat([Buffer.alloc(2), u64(size), Buffer.of(0x0d, 0xed)])));
  if (prng.chance(1, 2)) say(wire.optionReply(7, 3, blockSizes(prng)));
  say(wire.optionReply(7, wire.ACK));
}

function contextReply(id: number, name: string): Buffer {
  return wire.optionReply(10, 4, Buffer.concat([wire.u32(id), Buffer.from(name)]));
}

function blockSizes(prng: Prng): Buffer {
  const sizes = [prng.pick([1, 512, 3]), prng.pick([4096, 512]), prng.pick([2 ** 25, 7])];
  return Buffer.concat([Buffer.of(0, 3), ...sizes.map(wire.u32)]);
}

function drawTransmission(draw: Draw, wildness: number): void {
  const { prng, steps } = draw;
  const waiting: { readonly to: number; readonly ask: Extract<ScriptStep, { kind: 'ask' }> }[] = [];
  let asked = 0;
  for (let i = prng.between(1, 40); i > 0; i--) {
    if (waiting.length === 0 || prng.chance(1, 2)) {
      const command = prng.pick([0, 0, 0, 0, 1, 3, 4, 6, ...(draw.contexts.length > 0 ? [7] : [])]);
      const length = command === 3 ? 0 : prng.pick([1, 512, 1000, 4096, 70_000]);
      const offset = command === 3 ? 0 : prng.between(0, SIZE - length);
      const ask = { kind: 'ask', command, offset, length } as const;
      steps.push(ask);
      waiting.push({ to: asked++, ask });
    } else {
      const at = prng.between(0, waiting.length - 1);
      const { to, ask } = prng.chance(1, 30) ? waiting[at]! : waiting.splice(at, 1)[0]!;
      for (const bytes of drawReply(draw, ask)) addReply(draw, to, bytes, wildness);
    }
    if (prng.chance(1, 40)) steps.push({ kind: prng.pick(['stall', 'read'] as const) });
  }
  if (prng.chance(1, 4)) steps.push({ kind: 'end' });
}

function addSay(draw: Draw, bytes: Buffer, wildness: number): void {
  draw.steps.push({ kind: 'say', bytes: spoil(draw, bytes, wildness) });
}

function addReply(draw: Draw, to: number, bytes: Buffer, wildness: number): void {
  const said = spoil(draw, bytes, wildness);
  if (said.length < 16) draw.steps.push({ kind: 'say', bytes: said });
  else draw.steps.push({ kind: 'reply', to, bytes: said });
}

function spoil(draw: Draw, bytes: Buffer, wildness: number): Buffer {
  const { prng, seeds } = draw;
  draw.messages += 1;
  if (wildness === 0 || !prng.chance(1, wildness)) return bytes;
  draw.mutated += 1;
  const spoilt = Buffer.from(mutate(prng, bytes, seeds));
  for (let i = 0; i < spoilt.length; i++) if (spoilt[i] === UNTOUCHED) spoilt[i] = 0xef;
  return spoilt;
}

/** One reply to a request, in one or several messages; its fields may be at an edge. */
function drawReply(draw: Draw, ask: Extract<ScriptStep, { kind: 'ask' }>): Buffer[] {
  const { prng, form } = draw;
  const failed = prng.chance(1, 6) ? prng.pick([5, 22, 28, 108, 9999]) : 0;
  const payload = (length: number): Buffer => Buffer.alloc(length, prng.between(1, 200));
  if (form === 'simple') {
    const data = ask.command === 0 && failed === 0 ? payload(ask.length) : Buffer.alloc(0);
    return [wire.simpleReply(failed, 0n, data)];
  }
  const chunk = (type: number, body: Buffer, done: boolean): Buffer => {
    const length = prng.chance(1, 60) ? wildLength(draw) : body.length;
    return encodeChunk(draw, { type, body, done, length, offset: ask.offset });
  };
  if (failed !== 0) return [chunk(0x8001, errorBody(failed, prng.pick(['', 'no', '\0\n'])), true)];
  if (ask.command === 7) {
    return draw.contexts.map((_, id) =>
      chunk(form === 'extended' ? 6 : 5, status(draw, id, ask), id === 1),
    );
  }
  if (ask.command !== 0) return [chunk(0, Buffer.alloc(0), true)];
  return drawContent(draw, ask, payload, chunk);
}

function drawContent(
  { prng }: Draw,
  { offset, length }: Extract<ScriptStep, { kind: 'ask' }>,
  payload: (length: number) => Buffer,
  chunk: (type: number, body: Buffer, done: boolean) => Buffer,
): Buffer[] {
  const pieces: [start: number, size: number][] = [];
  for (let at = 0; at < length; ) {
    const size = prng.chance(1, 3) ? length - at : prng.between(1, length - at);
    pieces.push([at, size]);
    at += size;
  }
  prng.shuffle(pieces);
  const isShort = prng.chance(1, 20);
  const chunks = pieces.slice(isShort ? 1 : 0).map(([start, size]) => {
    const at = offset + start + (prng.chance(1, 50) ? prng.pick([-1, 1, SIZE]) : 0);
    const place = u64(Math.max(0, at));
    if (prng.chance(1, 4)) return chunk(2, Buffer.concat([place, wire.u32(size)]), false);
    return chunk(1, Buffer.concat([place, payload(size)]), false);
  });
  return [...chunks, chunk(0, Buffer.alloc(0), true)];
}

function wildLength(draw: Draw): number {
  draw.mutated += 1;
  return draw.prng.pick(LENGTHS);
}

interface ChunkFields {
  readonly type: number;
  readonly body: Buffer;
  readonly done: boolean;
  readonly length: number;
  readonly offset: number;
}

function encodeChunk({ form }: Draw, { type, body, done, length, offset }: ChunkFields): Buffer {
  const head = Buffer.from([0, done ? 1 : 0, type >> 8, type & 255]);
  const isWide = form === 'extended';
  const magic = wire.u32(isWide ? 0x6e8a278c : 0x668e33ef);
  const tail = isWide ? [u64(offset), u64(length)] : [wire.u32(length)];
  return Buffer.concat([magic, head, NO_COOKIE, ...tail, body]);
}

function errorBody(error: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([wire.u32(error), Buffer.from([0, bytes.length]), bytes]);
}

function status({ prng, form }: Draw, id: number, { length }: { readonly length: number }): Buffer {
  const extents = [Math.ceil(length / 2), length - Math.ceil(length / 2)].filter((one) => one > 0);
  if (prng.chance(1, 15)) extents.push(prng.pick([0, 1, 2 ** 32 - 1]));
  if (form === 'structured') {
    return Buffer.concat([
      wire.u32(id),
      ...extents.flatMap((one) => [wire.u32(one), wire.u32(id)]),
    ]);
  }
  const count = wire.u32(extents.length);
  return Buffer.concat([wire.u32(id), count, ...extents.flatMap((one) => [u64(one), u64(id)])]);
}

function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
