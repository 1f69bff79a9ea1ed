/** `nbd-mirror logd` and what is wrong: options, devices, and bytes that are no messages. */

import { once } from 'node:events';
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { encodeUlogMessage, UlogReader } from '../../src/dirtylog/userspace/ulog-codec.ts';
import { ULOG_GET_SYNC_COUNT } from '../../src/dirtylog/userspace/ulog-payloads.ts';
import { runCommand, startCommand } from '../support/command.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const SECTORS = 16_384;

async function start(t: Test, words: readonly string[] = []) {
  const cwd = tempDir(t);
  for (const leg of ['a', 'b']) {
    writeFileSync(join(cwd, leg), '');
    truncateSync(join(cwd, leg), SECTORS * 512);
  }
  const logd = startCommand(t, ['logd', '--socket', 'l', ...words], { cwd });
  await logd.says(/^ready:/m);
  const serve = (log: string) => {
    const table = `0 ${SECTORS} mirror userspace ${log.split(' ').length} ${log} 2 a 0 b 0`;
    const args = ['--log-server', 'l', '--socket', 'm', '--table', table];
    return startCommand(t, ['serve', ...args], { cwd });
  };
  return { cwd, logd, serve };
}

t.test('options that cannot be used', async (t) => {
  const cwd = tempDir(t);
  const cases: [string, RegExp][] = [
    ['--etcd http://127.0.0.1:1', /--node NAME/],
    ['--node a', /without --etcd/],
    ['--etcd 127.0.0.1 --node a', /--etcd has "127.0.0.1", must be http:\/\/HOST:PORT/],
    ['--etcd http://127.0.0.1:99999 --node a', /99999/],
    ['--etcd ftp://127.0.0.1:1 --node a', /"ftp:/],
    ['--etcd http://127.0.0.1:1, --node a', /--etcd has ""/],
    [`--etcd http://127.0.0.1:1 --node ${'n'.repeat(65)}`, /1 to 64 printable/],
    ['--etcd http://127.0.0.1:1 --node a --lease 1', /"1", must be 2 to 600/],
    ['--etcd http://127.0.0.1:1 --node a --lease soon', /"soon"/],
    ['--socket no/such/place', /no\/such\/place/],
  ];
  for (const [words, says] of cases) {
    const { status, stderr } = await runCommand(['logd', ...words.split(' ')], { cwd });
    t.equal(status, 2, words);
    t.match(stderr, says);
  }
});

t.test('a log device that is not there, and one that is to be made', async (t) => {
  for (const [kind, uuid] of [
    ['disk', 'u'],
    ['clustered-disk', 'v'],
  ]) {
    const { cwd, logd, serve } = await start(t);
    const { status, stderr } = await serve(`${uuid} ${kind} log.img 128`).ended;
    t.equal(status, 2);
    t.match(stderr, /refuses it with ENOENT/);
    t.match(stderr, /hint: .*logd --create/);
    t.match(logd.stderr, /Cannot open "log.img": it does not exist, must be there/);
    t.notOk(existsSync(join(cwd, 'log.img')), 'nothing is made unasked');
    t.equal((await logd.stop()).status, 0);
  }
  const { cwd, logd, serve } = await start(t, ['--create']);
  const wrong = await serve('u disk log.img 127').ended;
  t.equal(wrong.status, 2);
  t.match(logd.stderr, /127 sectors, must be a power of two/);
  t.notOk(existsSync(join(cwd, 'log.img')), 'nor for a log that is refused');
  const folder = await serve('u disk no/such/log.img 128').ended;
  t.equal(folder.status, 2);
  t.match(logd.stderr, /no directory/);
  for (const kind of ['disk', 'clustered-disk']) {
    const made = serve(`${kind}-uuid ${kind} ${kind}.img 128`);
    await made.says(/^ready:/m);
    t.equal((await made.stop()).status, 0);
    const image = readFileSync(join(cwd, `${kind}.img`));
    t.equal(image.readUInt32LE(0), 0x4d695272, 'a log of the kernel’s');
    t.equal(image.length, 1536, 'as large as it must be');
  }
  writeFileSync(join(cwd, 'short.img'), Buffer.alloc(1024));
  t.equal((await serve('w clustered-disk short.img 128').ended).status, 2);
  t.match(logd.stderr, /"short.img" has 1024 bytes, must have at least 1536/);
  t.equal(statSync(join(cwd, 'short.img')).size, 1024, 'what is there is not made longer');
  t.equal((await logd.stop()).status, 0);
});

t.test('the log of a mirror that died is seen, and forgotten when told so', async (t) => {
  const { cwd, logd, serve } = await start(t, ['--create']);
  const ask = (...words: string[]) => runCommand(['logd', ...words, '--socket', 'l'], { cwd });
  const uuid = 'u/ü?%25';
  const mirror = serve(`${uuid} disk log.img 128`);
  await mirror.says(/^ready:/m);
  const early = await ask('forget', uuid);
  t.equal(early.status, 1);
  t.match(early.stderr, `Cannot forget log "${uuid}": its mirror is connected`);
  const direct = `0 ${SECTORS} mirror disk 2 log.img 128 2 a 0 b 0`;
  const words = ['serve', '--socket', 'd', '--table', direct];

  mirror.child.kill('SIGKILL');
  await mirror.ended;
  await waitUntil('it is seen', async () =>
    (await ask('status')).stdout.includes('mirror is gone'),
  );
  const locked = await runCommand(words, { cwd });
  t.equal(locked.status, 2);
  t.match(locked.stderr, /log.img.*locked/);
  t.equal((await ask('forget', uuid)).status, 0);
  const gone = await ask('forget', uuid);
  t.equal(gone.status, 1);
  t.match(gone.stderr, /it is not served here/);
  t.match((await ask('status')).stdout, /^logs +0$/m);
  const other = startCommand(t, words, { cwd });
  await other.says(/^ready:/m);
  t.equal((await other.stop()).status, 0);
  t.equal((await logd.stop()).status, 0);
});

t.test('bytes that are no messages end their connection, and no other', async (t) => {
  const { cwd, logd, serve } = await start(t);
  const mirror = serve('u core 128');
  await mirror.says(/^ready:/m);
  const whole = encodeUlogMessage({
    ...{ luid: 7n, uuid: 'nobody', version: 3, error: 0, seq: 1 },
    ...{ requestType: ULOG_GET_SYNC_COUNT, data: new Uint8Array(0) },
  });
  const oversized = whole.slice();
  new DataView(oversized.buffer).setUint32(156, 1_000_000, true);
  const nameless = whole.slice().fill(0x41, 8, 137);
  for (const [bytes, says] of [
    [oversized, /data_size is 1000000, must be at most 16384/],
    [nameless, /uuid must be UTF-8 of at most 128 bytes/],
    [Buffer.alloc(4096, 0xa5), /not understood/],
  ] as const) {
    const socket = connect(join(cwd, 'l'));
    socket.on('error', () => {});
    socket.write(bytes);
    await once(socket, 'close');
    await waitUntil('it says why', () => says.test(logd.stderr));
  }
  const cut = connect(join(cwd, 'l'));
  cut.end(whole.subarray(0, 100));
  await once(cut.resume(), 'close');
  await waitUntil('it says so', () => /cut off in the middle of a message/.test(logd.stderr));

  const good = connect(join(cwd, 'l'));
  // In two pieces, and of a log that is not there.
  good.write(whole.subarray(0, 100));
  good.write(whole.subarray(100));
  const reader = new UlogReader();
  const errors: number[] = [];
  while (errors.length === 0) {
    const [bytes] = (await once(good, 'data')) as [Buffer];
    t.equal(
      reader.push(bytes, ({ error }) => void errors.push(error)),
      null,
    );
  }
  t.same(errors, [-22], 'EINVAL');
  good.destroy();
  t.equal((await mirror.stop()).status, 0, 'the mirror goes on, and stops in good order');
  t.equal((await logd.stop()).status, 0);
});

t.test('a log server of another version, or none at all', async (t) => {
  const cwd = tempDir(t);
  for (const leg of ['a', 'b']) writeFileSync(join(cwd, leg), Buffer.alloc(65_536));
  const table = '0 128 mirror userspace 3 u core 8 2 a 0 b 0';
  const words = ['serve', '--socket', 'm', '--log-server', 'l', '--table', table];
  const nobody = await runCommand(words, { cwd });
  t.equal(nobody.status, 2);
  t.match(nobody.stderr, /no log server listens at "l"/);

  const server = createServer((socket) => {
    const reader = new UlogReader();
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      reader.push(bytes, (asked) => void socket.write(encodeUlogMessage({ ...asked, version: 9 })));
    });
  }).listen(join(cwd, 'l'));
  t.teardown(() => server.close());
  await once(server, 'listening');
  const newer = await runCommand(words, { cwd });
  t.equal(newer.status, 2);
  t.match(newer.stderr, /its version is 9, must be 3/);
});

t.test('a server stops although a suspend waits for a log server that has gone', async (t) => {
  const { cwd, logd } = await start(t);
  // Much to copy, and slowly: it is not over when the log server goes.
  const sectors = 2 ** 31;
  for (const leg of ['a', 'b']) truncateSync(join(cwd, leg), sectors * 512);
  const table = `0 ${sectors} mirror userspace 3 u core 1024 2 a 0 b 0`;
  const words = ['--control', 'c', '--log-server', 'l', '--socket', 'm', '--name', 'data'];
  const slow = ['--resync-throttle', '1'];
  const server = startCommand(t, ['serve', ...words, ...slow, '--table', table], { cwd });
  await server.says(/^ready:/m);
  await logd.stop();
  await waitUntil('the loss', () => /Waiting for the log server/.test(server.stderr));
  const suspend = startCommand(t, ['suspend', 'data', '--control', 'c'], { cwd });
  const load = ['load', 'data', '--table', '0 8 zero', '--control', 'c'];
  t.equal((await runCommand(load, { cwd })).status, 0, 'what does not need the server');
  const { status, stderr } = await server.stop();
  t.equal(status, 0);
  t.match(stderr, /stopped without its log server: regions stay dirty/);
  t.equal((await suspend.ended).status, 1);
});
