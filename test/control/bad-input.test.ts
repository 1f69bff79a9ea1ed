/** What people and programs get wrong, or mean ill: a clear refusal, and nothing has changed. */

import { request } from 'node:http';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { CONTROL_BODY_BYTES_MAX } from '../../src/base/limits.ts';
import { ControlRig } from '../support/control-rig.ts';

const DISK = 'memory:disk,size=8M';
const TABLE = `0 8192 linear ${DISK} 0`;
const LONG = 'n'.repeat(4096);
const HUGE = 2 ** 53;

/** Names that no device may have: verb `create` refuses them, others do not find them. */
const BAD_NAMES = ['', 'a/b', '../x', '.', '..', 'a\0b', 'a b', 'a\nb', 'ä', 'n'.repeat(128), LONG];

interface Refusal {
  readonly verb: string;
  readonly input: unknown;
  readonly status: number;
  readonly code: string;
  readonly message?: RegExp;
}

const object = (verb: string, input: unknown, message?: RegExp): Refusal => ({
  verb,
  input,
  status: 400,
  code: 'bad-input',
  ...(message === undefined ? {} : { message }),
});

const WRONG_INPUT: readonly Refusal[] = [
  object('status', [], /its input must be an object/),
  object('status', 'data', /its input must be an object/),
  object('status', null, /its input must be an object/),
  object('status', { device: 5 }, /"device" must be a string/),
  object('status', { device: '' }, /"device" must not be empty/),
  object('status', { device: 'n'.repeat(8193) }, /"device" must have at most 8192 characters/),
  object('status', { naming: 'number' }, /"naming" must be "name" or "devno"/),
  object('status', { frob: 1 }, /"frob" is not known/),
  object('status', JSON.parse('{"__proto__": {"device": "data"}}'), /not known/),
  object('create', {}, /"device" must be given/),
  object('create', { device: 'x', table: 5 }, /"table" must be a string/),
  object('create', { device: 'x', readOnly: 'yes' }, /"readOnly" must be true or false/),
  object('load', { device: 'data' }, /"table" must be given/),
  object('suspend', { device: 'data', noflush: 1 }, /"noflush" must be true or false/),
  object('wait', { device: 'data', eventNumber: -1 }, /"eventNumber" must be 0 or more/),
  object('wait', { device: 'data', eventNumber: 1.5 }, /"eventNumber" must be a whole number/),
  object('wait', { device: 'data', eventNumber: HUGE }, /"eventNumber" must be at most 4294967295/),
  object('wait', { device: 'data', eventNumber: '1' }, /"eventNumber" must be a number/),
  object('message', { device: 'data', sector: HUGE, words: ['x'] }, /"sector"/),
  object('message', { device: 'data', sector: 0, words: 'x' }, /"words" must be a list of words/),
  object('message', { device: 'data', sector: 0, words: [''] }, /"words.0" must not be empty/),
  object('message', { device: 'data', sector: 0, words: Array(1025).fill('x') }, /1024 words/),
  object('rename', { device: 'data' }, /either a new name or a new uuid/),
  object('rename', { device: 'data', newName: 'a', newUuid: 'b' }, /either a new name/),
  object('version', { device: 'data' }, /"device" is not known/),
  { verb: 'suspend', input: {}, status: 400, code: 'no-name' },
  { verb: 'info', input: { device: 'data', uuid: 'U1' }, status: 400, code: 'two-devices' },
  { verb: 'info', input: { columns: true, fields: 'name,frob' }, status: 400, code: 'bad-field' },
  { verb: 'create', input: { device: 'data' }, status: 409, code: 'device-exists' },
  { verb: 'create', input: { device: 'x', uuid: 'U1' }, status: 409, code: 'device-exists' },
  { verb: 'create', input: { device: 'x', uuid: 'u'.repeat(129) }, status: 400, code: 'bad-uuid' },
  { verb: 'create', input: { device: 'x', uuid: 'a\0' }, status: 400, code: 'bad-uuid' },
  { verb: 'rename', input: { device: 'data', newUuid: 'U2' }, status: 400, code: 'bad-uuid' },
  { verb: 'frob', input: {}, status: 404, code: 'unknown-verb' },
  { verb: '../status', input: {}, status: 404, code: 'unknown-verb' },
  { verb: 'constructor', input: {}, status: 404, code: 'unknown-verb' },
  { verb: LONG, input: {}, status: 404, code: 'unknown-verb' },
];

const BAD_TABLES: readonly [table: string, code: string][] = [
  ['', 'bad-table'],
  ['junk', 'bad-table'],
  ['0 8', 'bad-table'],
  ['-1 8 zero', 'bad-table'],
  ['0 99999999999999999999 zero', 'bad-table'],
  ['0 1e3 zero', 'bad-table'],
  ['0 0 zero', 'bad-table'],
  ['0 8 zero\n16 8 zero', 'bad-table'],
  [`0 8 ${LONG}`, 'unknown-target-type'],
  [`0 8 linear ${LONG} 0`, ''],
  ['0 8 linear \0 0', 'bad-device'],
  ['0 8 linear 253:99 0', 'no-device'],
  ['0 8 linear 254:99999 0', 'no-device'],
  ['0 8 linear /dev/mapper/../../etc/passwd 0', ''],
  [`# ${'x'.repeat(2 ** 20)}\n0 8 zero`, 'bad-table'],
];

async function rigWithDevice(t: Test): Promise<ControlRig> {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', uuid: 'U1', table: TABLE });
  return rig;
}

/** All that can be seen of the devices. */
async function stateOf(rig: ControlRig): Promise<unknown> {
  return [
    await rig.json('status'),
    await rig.json('table'),
    await rig.json('table', { inactive: true }),
  ];
}

t.test('Input of a wrong shape is refused, saying which word and what it must be', async (t) => {
  const rig = await rigWithDevice(t);
  const before = await stateOf(rig);
  for (const { verb, input, status, code, message } of WRONG_INPUT) {
    const refusal = await rig.refusal(verb, input as object);
    const shown = `${verb.slice(0, 20)} ${JSON.stringify(input).slice(0, 80)}`;
    t.match(refusal, { status, code, ...(message === undefined ? {} : { message }) }, shown);
    t.ok(String(refusal.message).length < 500, 'a long word does not make a long message');
    t.notMatch(String(refusal.message), /\p{Cc}/u, 'nor does a strange one a strange one');
  }
  t.same(await stateOf(rig), before);
});

t.test('Names that no device can have are refused, or not found, by every verb', async (t) => {
  const rig = await rigWithDevice(t);
  const before = await stateOf(rig);
  for (const name of BAD_NAMES) {
    const shown = JSON.stringify(name.slice(0, 20));
    for (const input of [{ device: name }, { device: name, table: '0 8 zero' }]) {
      const refusal = await rig.refusal('create', input);
      t.match(refusal, { status: 400, code: 'bad-name', errno: 'EINVAL' }, `create ${shown}`);
    }
    const renamed = await rig.refusal('rename', { device: 'data', newName: name });
    t.equal(renamed.status, 400, `rename to ${shown}`);
    for (const verb of [
      'remove',
      'suspend',
      'resume',
      'clear',
      'status',
      'table',
      'deps',
      'info',
    ]) {
      const { status } = await rig.refusal(verb, { device: name });
      t.equal(status, name === '' ? 400 : 404, `${verb} ${shown}`);
    }
  }
  t.same(await stateOf(rig), before);
});

t.test('Tables that are no tables are refused by create and by load', async (t) => {
  const rig = await rigWithDevice(t);
  const before = await stateOf(rig);
  for (const [table, code] of BAD_TABLES) {
    const shown = JSON.stringify(table.slice(0, 40));
    for (const [verb, device] of [
      ['create', 'other'],
      ['load', 'data'],
    ] as const) {
      const refusal = await rig.refusal(verb, { device, table });
      t.ok([400, 404].includes(Number(refusal.status)), `${verb} ${shown}: ${refusal.status}`);
      if (code !== '') t.equal(refusal.code, code, `${verb} ${shown}`);
      t.ok(String(refusal.message).length < 5000, `${verb} ${shown}`);
    }
  }
  t.same(await stateOf(rig), before);
});

t.test('A table of a million characters is loaded where it is right', async (t) => {
  const rig = await rigWithDevice(t);
  const lines = Array.from({ length: 60_000 }, (_unused, index) => `${index * 8} 8 zero`);
  await rig.json('load', { device: 'data', table: lines.join('\n') });
  const { devices } = await rig.json('table', { device: 'data', inactive: true });
  t.equal((devices as { targets: unknown[] }[])[0]!.targets.length, 60_000);
});

interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

/** With `chunked`, the server cannot know how much will come. */
function send(
  rig: ControlRig,
  [method, path, body = '']: readonly [method: string, path: string, body?: string],
  options: { chunked?: boolean } = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const headers = options.chunked === true ? { 'transfer-encoding': 'chunked' } : {};
    const words = { socketPath: rig.socket, method, path, headers, agent: false };
    const sent = request(words, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, body: text }));
    });
    sent.on('error', reject).end(body);
  });
}

t.test('Requests that are none: methods, paths, bodies, and bytes', async (t) => {
  const rig = await rigWithDevice(t);
  const cases: [method: string, path: string, body: string, status: number, code: string][] = [
    ['GET', '/', '', 404, 'unknown-path'],
    ['GET', '/v1/remove?device=data', '', 405, 'method-not-allowed'],
    ['DELETE', '/v1/status', '', 404, 'unknown-path'],
    ['POST', '/v1/status', '{', 400, 'bad-json'],
    ['POST', '/v1/status', '['.repeat(100_000), 400, 'bad-json'],
    ['POST', '/v1/status', '"\ud800"', 400, 'bad-input'],
    ['POST', '/v1/status', `"${'x'.repeat(CONTROL_BODY_BYTES_MAX)}"`, 413, 'body-too-large'],
    ['GET', '/v1/events?after=5', '', 400, 'bad-input'],
    ['GET', `/v1/events?after=${LONG}`, '', 400, 'bad-input'],
    ['GET', '/v1/status?device=nosuch', '', 404, 'no-device'],
    ['GET', '/v1/%00', '', 404, 'unknown-verb'],
  ];
  for (const [method, path, body, status, code] of cases) {
    for (const chunked of body === '' ? [false] : [false, true]) {
      const answer = await send(rig, [method, path, body], { chunked });
      t.equal(answer.status, status, `${method} ${path.slice(0, 30)} ${body.slice(0, 20)}`);
      t.equal(JSON.parse(answer.body).code, code);
    }
  }
  const good = await send(rig, ['GET', '/v1/status?device=data&naming=devno']);
  t.equal(good.status, 200);
  t.match(JSON.parse(good.body), { devices: [{ name: 'data' }] });
  t.match(JSON.parse((await send(rig, ['GET', '/v1'])).body), { version: '1.2.3' });
  await rig.json('create', { device: 'true', table: '0 8 zero' });
  await rig.json('rename', { device: 'true', newUuid: 'U2' });
  const words = await send(rig, ['GET', '/v1/wait?device=true&eventNumber=7']);
  t.match(JSON.parse(words.body), { name: 'true', eventNumber: 1 });
  const flag = await send(rig, ['GET', '/v1/status?device=true&details&inactive=false']);
  t.match(JSON.parse(flag.body), {
    devices: [{ targets: [{ line: '0 8 zero ', details: null }] }],
  });
  for (const bad of ['wait?eventNumber=', 'wait?eventNumber=-1', 'stalls?seconds=1e3', 'ls?x']) {
    t.equal((await send(rig, ['GET', `/v1/${bad}`])).status, 400, bad);
  }
  await rig.json('remove', { device: 'true' });
  const empty = await send(rig, ['POST', '/v1/ls'], { chunked: true });
  t.equal(empty.status, 200);
  const junk = await new Promise<string>((resolve) => {
    let text = '';
    const socket = connect(rig.socket, () => socket.write('\0\xff\r\n\r\n'));
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('close', () => resolve(text));
  });
  t.match(junk, /^HTTP\/1.1 400 /);
  t.same((await rig.json('ls')).devices, [{ name: 'data', uuid: 'U1', number: '253:0' }]);
});

t.test('A client that goes away while it waits is forgotten', async (t) => {
  const rig = await rigWithDevice(t);
  const device = rig.daemon.devices.get('data');
  for (let round = 0; round < 10; round++) {
    const sent = request({ socketPath: rig.socket, method: 'GET', path: '/v1/wait?device=data' });
    sent.on('error', () => {}).end();
    while (device.eventWaiterCount === 0) await rig.json('version');
    sent.destroy();
    while (device.eventWaiterCount > 0) await rig.json('version');
  }
  t.equal(device.eventWaiterCount, 0);
});

t.test('A client that goes away in the middle of its request harms nobody', async (t) => {
  const rig = await rigWithDevice(t);
  for (const rest of [
    'content-length: 34\r\n\r\n{"de',
    'transfer-encoding: chunked\r\n\r\n4\r\n{"de\r\n',
    'transfer-encoding: chunked\r\n\r\nzz\r\n',
    'expect: 100-continue\r\ncontent-length: 34\r\n\r\n',
  ]) {
    for (const [verb, end] of [
      ['wait', 'end'],
      ['wait', 'destroy'],
      ['frob', 'destroy'],
    ] as const) {
      const socket = connect(rig.socket, () => {
        socket.write(`POST /v1/${verb} HTTP/1.1\r\nhost: a\r\n${rest}`, () => socket[end]());
      });
      socket.on('error', () => {}).resume();
      await new Promise((resolve) => socket.once('close', resolve));
      await rig.json('version');
    }
  }
  t.equal(((await rig.json('ls')).devices as unknown[]).length, 1);
});
