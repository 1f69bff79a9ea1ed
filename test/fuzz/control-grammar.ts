/** Requests to the control interface: verbs with the input they want, and then not quite. */

import type { Prng } from '../../src/base/prng.ts';
import { mutate } from './nbd-grammar.ts';

/** Short lives only: a request that is good may be carried out. No path names anything. */
const DEVICES = ['victim', 'other', 'third', 'nope', '', 'a/b', '\u00fc', 'x'.repeat(8193), 'a\0'];
const TARGETS = [
  'leg0',
  'leg1',
  'leg9',
  'log',
  'memory:a',
  'memory:d,size=64K',
  '/nonexistent',
  '',
];
const MIRROR = 'mirror core 1 8 2 memory:a,size=64K 0 memory:b,size=64K 0';
const TABLES = [
  '0 128 zero',
  '0 128 error',
  `0 128 ${MIRROR}`,
  `0 128 ${MIRROR} 1 handle_errors`,
  '0 128 mirror disk 2 memory:log,size=64K 8 2 memory:a,size=64K 0 memory:b,size=64K 0',
  '0 64 linear memory:d,size=64K 0\n64 64 linear memory:d,size=64K 64',
  '0 128 striped 2 16 memory:a,size=64K 0 memory:b,size=64K 0',
  '0 128 delay memory:d,size=64K 0 50',
  '0 128 flakey memory:d,size=64K 0 1 1',
  '0 128 linear /dev/mapper/victim 0',
  '0 128 linear nbd+unix:///victim?socket=/nonexistent 0',
  '0 128 snapshot x y',
  '0 18446744073709551615 zero',
  '',
];
const FAULTS = [
  'error',
  'error --op write --count 3',
  'error --op read --rate 50%',
  'delay --ms 5',
  'hang',
  'offline',
  'error --sectors 0-7',
  'error --count -1',
  'frob',
];
const ODD: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  '',
  'x',
  [],
  {},
  [[]],
  { a: 1 },
  ['x'.repeat(9000)],
];
const NUMBERS = [0, 1, 2, 100, -1, 2 ** 32, 2 ** 53, 0.5];
const HEADERS = [
  'accept: text/plain',
  'accept: text/event-stream',
  'content-type: application/json',
  'content-type: text/plain; charset=utf-16',
  'content-encoding: gzip',
  'expect: 100-continue',
  'connection: close',
  'connection: upgrade',
  'upgrade: websocket',
  'last-event-id: start',
  'last-event-id: now',
  'last-event-id: 0-99999999999999999999',
  'authorization: Bearer x',
  'transfer-encoding: gzip',
  'host: a',
  `x: ${'y'.repeat(20_000)}`,
  'x',
  ': y',
];

type Draw = (prng: Prng) => unknown;

const device: Draw = (prng) => prng.pick(prng.chance(3, 4) ? DEVICES.slice(0, 3) : DEVICES);
const flag: Draw = (prng) => prng.chance(1, 2);
const number: Draw = (prng) => prng.pick(NUMBERS);
const one =
  (words: readonly string[]): Draw =>
  (prng) =>
    prng.pick(words);

const VERBS: Readonly<Record<string, Readonly<Record<string, Draw>>>> = {
  create: { device, table: one(TABLES), uuid: one(['U1', 'U2', '']), readOnly: flag },
  load: { device, table: one(TABLES), readOnly: flag },
  remove: { device, force: flag },
  remove_all: { force: flag },
  wipe_table: { device },
  suspend: { device, noflush: flag, nolockfs: flag },
  resume: { device },
  clear: { device },
  rename: { device, newName: device, newUuid: one(['U3', 'U1']) },
  ls: {
    target: one(['mirror', 'zero', 'x']),
    naming: one(['devno', 'devname', 'blkdevname', 'x']),
  },
  info: {
    device,
    columns: flag,
    fields: one(['name,uuid', 'name,,', 'frob', 'all']),
    noheadings: flag,
  },
  status: { device, target: one(['mirror', 'x']), noflush: flag },
  table: { device, inactive: flag, naming: one(['name', 'devno', 'x']) },
  measure: { device, length: number },
  deps: { device, naming: one(['devno', 'devname', 'x']) },
  targets: {},
  'target-version': { target: one(['mirror', 'x']) },
  version: {},
  wait: { device, eventNumber: number, noflush: flag },
  message: {
    device,
    sector: number,
    words: (prng) => prng.pick([['x'], ['io_balance'], [], ['a', '']]),
  },
  split: { device, leg: number, name: device },
  stalls: {},
  tree: {},
  fault: { device, target: one(TARGETS), fault: one(FAULTS) },
  'fault-list': { device },
  'fault-remove': { device, ids: (prng) => [prng.pick(NUMBERS)], all: flag, fail: flag },
  frob: { device },
  events: { follow: flag, after: one(['start', 'now', 'x', '0-0']) },
};

/** One request as it is on the wire. */
export function drawControlRequest(prng: Prng): {
  readonly bytes: Buffer;
  readonly mutated: boolean;
} {
  const verb = prng.pick(Object.keys(VERBS));
  let mutated = false;
  const spoil = <T>(odds: number, value: T, wrong: () => T): T => {
    if (!prng.chance(1, odds)) return value;
    mutated = true;
    return wrong();
  };
  const entries: [string, unknown][] = [];
  for (const [key, draw] of Object.entries(VERBS[verb]!)) {
    if (prng.chance(3, 4)) entries.push([key, spoil(8, draw(prng), () => prng.pick(ODD))]);
  }
  const extra = spoil(20, '', () =>
    prng.pick(['__proto__', 'constructor', 'toString', 'x\n', 'y']),
  );
  if (extra !== '') entries.push([extra, prng.pick(ODD)]);
  // Built so, "__proto__" is a key as any other.
  const input = Object.fromEntries(entries);
  const json = JSON.stringify(input);
  const body = spoil(8, Buffer.from(json), () => spoilBody(prng, json));
  const isPost = spoil(10, verb !== 'events', () => prng.chance(1, 2));
  const method = spoil(25, isPost ? 'POST' : 'GET', () =>
    prng.pick(['PUT', 'HEAD', 'OPTIONS', 'X Y']),
  );
  const path = spoil(15, `/v1/${verb}`, () =>
    prng.pick(['/', '/v1', `//v1/${verb}`, '/v1/../x', '*', '%']),
  );
  const query = isPost ? '' : `?${queryOf(entries)}`;
  const headers = ['host: localhost', `content-length: ${spoilLength(prng, body.length, spoil)}`];
  if (prng.chance(1, 4)) headers.push(spoil(1, '', () => prng.pick(HEADERS)));
  const head = `${method} ${path}${query} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`;
  const bytes = Buffer.concat([Buffer.from(head), isPost || mutated ? body : Buffer.alloc(0)]);
  return { bytes: spoil(10, bytes, () => Buffer.from(mutate(prng, bytes, [bytes]))), mutated };
}

function queryOf(entries: readonly [string, unknown][]): string {
  return entries.map(([key, value]) => `${key}=${encodeURI(`${value}`)}`).join('&');
}

function spoilLength(
  prng: Prng,
  length: number,
  spoil: (odds: number, value: string, wrong: () => string) => string,
): string {
  return spoil(25, `${length}`, () => {
    return prng.pick([
      `${length + 1}`,
      `${length - 1}`,
      '-1',
      '0',
      'x',
      `${5 * 2 ** 20}`,
      `${2 ** 53}`,
    ]);
  });
}

function spoilBody(prng: Prng, json: string): Buffer {
  const nested = '['.repeat(prng.pick([10, 20_000]));
  const words = [nested, '{"a":', 'null', '[]', '"x"', '5', '', '\ufeff{}', '{"device":"\\ud800"}'];
  if (prng.chance(1, 2)) return Buffer.from(prng.pick([...words, `{"device":${nested}`]));
  return Buffer.from(mutate(prng, Buffer.from(json), [Buffer.from(prng.pick(words))]));
}
