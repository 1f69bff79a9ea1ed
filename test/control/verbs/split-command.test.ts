/** Legs taken out of mirrors under clients: what the image holds, and how the mirror goes on. */

import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ControlRig } from '../../support/control-rig.ts';
import { isAllClean } from '../../support/log-file.ts';
import { waitUntil } from '../../support/wait-until.ts';

const SECTORS = 2048;
const BLOCK = 4096;

interface Mirror {
  readonly rig: ControlRig;
  readonly file: (name: string) => string;
}

/** `line` names files by `@name`. */
async function mirror(t: Test, line: string): Promise<Mirror> {
  const rig = await ControlRig.start(t);
  const file = (name: string): string => join(rig.directory, name);
  for (const name of ['a', 'b', 'c', 'log']) {
    writeFileSync(file(name), '');
    truncateSync(file(name), (SECTORS + 16) * 512);
  }
  const table = line.replace(/@(\w+)/g, (_, name: string) => file(name));
  await rig.json('create', { device: 'data', table });
  await waitUntil('the mirror', async () =>
    / (\d+)\/\1 /.test((await rig.run('status', 'data')).out),
  );
  return { rig, file };
}

const THREE = `0 ${SECTORS} mirror disk 2 @log 128 3 @a 0 @b 16 @c 0 1 handle_errors`;
const TWO = `0 ${SECTORS} mirror core 1 128 2 @a 0 @b 16`;

/**
 * Numbered writes, one after the other, until `stop`: an image of one instant holds a beginning of
 * them.
 */
async function writeNumbers(rig: ControlRig, stop: () => boolean): Promise<number> {
  const client = await rig.attach('data');
  let last = 0;
  while (!stop()) {
    last += 1;
    const data = Buffer.alloc(BLOCK);
    data.writeUInt32LE(last);
    await client.write(((last * 7) % (SECTORS / 8)) * BLOCK, data);
  }
  await client.disconnect();
  return last;
}

/** The number up to which an image has all writes; throws if it has any later one. */
function numberOfImage(image: Buffer): number {
  const blocks = image.length / BLOCK;
  const found = Array.from({ length: blocks }, (_, block) => image.readUInt32LE(block * BLOCK));
  const last = Math.max(...found);
  for (let number = Math.max(1, last - blocks + 1); number <= last; number++) {
    const holds = found[(number * 7) % blocks];
    if (holds !== number) throw new Error(`It has write ${last}, but ${holds} for ${number}`);
  }
  return last;
}

t.test('a leg becomes an image of one instant, and the mirror goes on without it', async (t) => {
  const { rig, file } = await mirror(t, THREE);
  let stopped = false;
  const writing = writeNumbers(rig, () => stopped);
  await waitUntil('writes', async () => {
    const { devices } = await rig.json('info', { device: 'data' });
    return (devices as { requests: { writes: number } }[])[0]!.requests.writes > 500;
  });
  const { status, out } = await rig.run('split', 'data', '--leg', '1');
  t.same([status, out], [0, `${file('b')} 16 ${SECTORS}\n`]);
  const image = readFileSync(file('b')).subarray(16 * 512, (16 + SECTORS) * 512);
  const number = numberOfImage(image);
  t.ok(number >= 500, `the image has the first ${number} writes and no other`);
  stopped = true;
  const last = await writing;
  t.ok(last > number, 'the mirror went on');
  t.equal(
    (await rig.run('table', 'data')).out,
    `0 ${SECTORS} mirror disk 2 ${file('log')} 128 2 ` +
      `${file('a')} 0 ${file('c')} 0 1 handle_errors\n`,
  );
  t.match((await rig.run('status', 'data')).out, / 16\/16 1 AA /);
  await rig.stop();
  t.ok(isAllClean(file('log')));
  const leg = (name: string): Buffer => readFileSync(file(name)).subarray(0, SECTORS * 512);
  t.equal(numberOfImage(leg('a')), last);
  t.ok(leg('a').equals(leg('c')));
  t.ok(image.equals(readFileSync(file('b')).subarray(16 * 512, (16 + SECTORS) * 512)));
});

t.test('one leg that is left is a linear device', async (t) => {
  const { rig, file } = await mirror(t, TWO);
  const answer = await rig.json('split', { device: 'data', leg: 0 });
  const table = `0 ${SECTORS} linear ${file('b')} 16`;
  t.match(answer, { device: file('a'), offsetSectors: 0, lengthSectors: SECTORS, table });
  t.equal((await rig.run('table', 'data')).out, `${table}\n`);
  const { out: events } = await rig.run('events', '--json');
  const told = events.split('\n').find((line) => line.includes('"split"'));
  t.match(JSON.parse(told!), { device: 'data', leg: 0, image: file('a'), table });
  const client = await rig.attach('data');
  await client.write(0, Buffer.alloc(BLOCK, 9));
  await client.disconnect();
  t.equal(readFileSync(file('a'))[0], 0);
  t.equal(readFileSync(file('b'))[16 * 512], 9);
  t.match(await rig.refusal('split', { device: 'data', leg: 0 }), {
    code: 'no-mirror',
    message: /must be one mirror/,
  });
});

t.test('a copy leaves the leg where it is', async (t) => {
  const { rig, file } = await mirror(t, THREE);
  const before = (await rig.run('table', 'data')).out;
  let stopped = false;
  const writing = writeNumbers(rig, () => stopped);
  await rig.json('split', { device: 'data', leg: 1, to: file('copy') });
  stopped = true;
  await writing;
  const image = readFileSync(file('copy'));
  t.equal(image.length, SECTORS * 512);
  t.ok(numberOfImage(image) <= (await writing));
  t.equal((await rig.run('table', 'data')).out, before);
  t.match(await rig.refusal('split', { device: 'data', leg: 1, to: file('copy') }), {
    status: 409,
    code: 'copy-exists',
  });
  const missing = join(file('no'), 'such');
  t.match(await rig.refusal('split', { device: 'data', leg: 1, to: missing }), { status: 400 });
  t.match((await rig.run('info', 'data')).out, /State: +ACTIVE/);
  await rig.json('fault', {
    device: 'data',
    target: 'leg1',
    fault: 'error --op read --sectors 9-9',
  });
  t.match(await rig.refusal('split', { device: 'data', leg: 1, to: file('half') }), {
    code: 'split-io',
    message: `read of "${file('b')}" failed: Input/output error`,
  });
  t.notOk(existsSync(file('half')), 'nothing is left that could be taken for a copy');
  t.match((await rig.run('info', 'data')).out, /State: +ACTIVE/);
});

t.test('a copy ends when who asked for it goes away', async (t) => {
  const { rig, file } = await mirror(t, TWO);
  await rig.json('fault', { device: 'data', target: 'leg0', fault: 'hang --op read' });
  const body = JSON.stringify({ device: 'data', leg: 0, to: file('copy') });
  const path = '/v1/split';
  const sent = request({ socketPath: rig.socket, method: 'POST', path });
  sent.on('error', () => {}).end(body);
  await waitUntil('the copy', () => existsSync(file('copy')));
  sent.destroy();
  // What comes from later clients is seen after that.
  for (let client = 0; client < 3; client++) await rig.json('version');
  await rig.json('fault-remove', { all: true });
  // In its turn: behind the split.
  await rig.json('clear', { device: 'data' });
  t.notOk(existsSync(file('copy')));
  t.match((await rig.run('info', 'data')).out, /State: +ACTIVE/);
});

t.test('what is refused changes nothing', async (t) => {
  const { rig, file } = await mirror(t, THREE);
  await rig.json('create', { device: 'plain', table: `0 8 linear memory:x,size=1M 0` });
  const before = (await rig.run('table')).out;
  const refused: [words: string[], message: RegExp][] = [
    [['data'], /--leg is "", must be a number/],
    [['data', '--leg', 'one'], /--leg is "one", must be a number/],
    [['data', '--leg', '3'], /there is none, must be 0 to 2/],
    [['data', '--leg', '1000'], /"leg" must be at most 8/],
    [['plain', '--leg', '0'], /must be one mirror/],
    [['nobody', '--leg', '0'], /Cannot find device "nobody"/],
    [['--leg', '0'], /name must be given/],
  ];
  for (const [words, message] of refused) {
    const { status, out, err } = await rig.run('split', ...words);
    t.same([status, out], [1, ''], words.join(' '));
    t.match(err, message);
  }
  await rig.json('suspend', { device: 'data' });
  t.match(await rig.refusal('split', { device: 'data', leg: 0 }), { code: 'suspended' });
  await rig.json('resume', { device: 'data' });
  await rig.json('load', { device: 'data', table: `0 ${SECTORS} zero` });
  for (const more of [{}, { to: file('copy') }]) {
    const input = { device: 'data', leg: 0, ...more };
    t.match(await rig.refusal('split', input), { status: 409, code: 'table-loaded' });
  }
  await rig.json('clear', { device: 'data' });
  await rig.json('fault', { device: 'data', target: 'leg2', fault: 'error --op flush' });
  t.match(await rig.refusal('split', { device: 'data', leg: 2 }), {
    code: 'leg-failed',
    message: /has failed \(F\)/,
  });
  await rig.json('fault-remove', { all: true });
  t.equal((await rig.run('table')).out, before);
  t.notOk(existsSync(file('copy')));
});

t.test('a leg of a mirror that is out of sync is not split off', async (t) => {
  const rig = await ControlRig.start(t);
  const legs = '2 memory:a,size=1M 0 memory:b,size=1M 0';
  await rig.json('create', { device: 'data', table: '0 1024 linear memory:a,size=1M 0' });
  await rig.json('fault', { device: 'data', target: 'memory:a,size=1M', fault: 'hang --op read' });
  await rig.json('load', { device: 'data', table: `0 1024 mirror core 1 128 ${legs}` });
  await rig.json('resume', { device: 'data' });
  t.match(await rig.refusal('split', { device: 'data', leg: 1 }), {
    status: 409,
    code: 'out-of-sync',
    message: /0 of 8 regions are in sync, must be all/,
  });
  await rig.json('fault-remove', { all: true });
});
