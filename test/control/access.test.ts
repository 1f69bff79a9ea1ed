/** Who may drive a daemon, where it listens, and what clients are told when it is not there. */

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { UserError } from '../../src/base/failure.ts';
import { defaultControlSockets, parseControlAddress } from '../../src/control/control-address.ts';
import { ControlClient } from '../../src/control/control-client.ts';
import { readOrMakeToken, readToken } from '../../src/daemon/control-token.ts';
import { ControlRig, runCommandLine } from '../support/control-rig.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireRoot, requireTool } from '../support/tools.ts';

t.test('The socket is its owner’s alone, and is gone with the daemon', async (t) => {
  const rig = await ControlRig.start(t);
  t.equal(statSync(rig.socket).mode & 0o777, 0o600);
  await rig.stop();
  t.notOk(existsSync(rig.socket));
});

t.test('Another user is refused, and told why', async (t) => {
  if (!requireRoot(t) || !requireTool(t, 'python3')) return;
  const rig = await ControlRig.start(t);
  chmodSync(rig.directory, 0o755);
  // Only the connection matters: Node itself may be out of the other user's reach.
  const script =
    'import socket,sys\ntry:\n socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n' +
    'except PermissionError:\n print("refused")';
  const { stdout } = spawnSync('python3', ['-c', script, rig.socket], {
    uid: 65_534,
    gid: 65_534,
    encoding: 'utf8',
  });
  t.equal(stdout, 'refused\n');
});

t.test('A socket left over from a crash is taken over; one in use is not', async (t) => {
  const rig = await ControlRig.start(t);
  const directory = tempDir(t);
  await t.rejects(ControlRig.start(t, { control: rig.socket }), { code: 'socket-in-use' });
  t.match(await rig.json('version'), { version: '1.2.3' }, 'the first one goes on');
  const stale = join(directory, 'stale');
  const script =
    "require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 9))";
  spawnSync(process.execPath, ['-e', script, stale]);
  t.ok(existsSync(stale));
  const second = await ControlRig.start(t, { control: stale });
  t.equal(second.daemon.controlListener.addresses.length, 1);
  writeFileSync(join(directory, 'file'), 'mine');
  await t.rejects(ControlRig.start(t, { control: join(directory, 'file') }), {
    code: 'socket-path-taken',
  });
  t.equal(readFileSync(join(directory, 'file'), 'utf8'), 'mine');
});

t.test('Over TCP each request needs the token, in whole', async (t) => {
  const tokenFile = join(tempDir(t), 'token');
  const rig = await ControlRig.start(t, { controlListen: '0', controlToken: tokenFile });
  const address = rig.daemon.controlListener.addresses.find(({ kind }) => kind === 'tcp');
  if (address?.kind !== 'tcp') throw new Error('It listens on TCP');
  t.equal(address.host, '127.0.0.1', 'loopback, as nothing else is named');
  t.equal(statSync(tokenFile).mode & 0o777, 0o600);
  const token = readToken(tokenFile);
  for (const wrong of [undefined, '', 'x', token.slice(1), `${token}x`]) {
    const client = new ControlClient({
      address,
      ...(wrong === undefined ? {} : { token: wrong }),
    });
    for (const verb of ['version', 'create', 'nosuch']) {
      const { status, body } = await client.call(verb, { device: 'x' }, 'json');
      t.equal(status, 401);
      t.match(JSON.parse(body), { code: 'unauthorized' });
    }
    await t.rejects(client.events({ after: 'start', follow: false }).next());
  }
  const client = new ControlClient({ address, token });
  t.equal((await client.call('version', {}, 'json')).status, 200);
  t.same(await rig.json('ls'), { devices: [] });
  const words = ['ls', '--control', `127.0.0.1:${address.port}`, '--token-file', tokenFile];
  t.equal((await runCommandLine(words, {})).out, 'No devices found\n');
});

t.test('A token made by the daemon is told once, and differs each time', async (t) => {
  const rigs = [1, 2].map(() => ControlRig.start(t, { controlListen: '0' }));
  const tokens = (await Promise.all(rigs)).map(({ daemon }) => daemon.controlListener.madeToken);
  t.equal(new Set(tokens).size, 2);
  for (const token of tokens) t.match(token, /^[\w-]{32}$/);
});

t.test('Token files that are open to others, or hold no token, are refused', async (t) => {
  const directory = tempDir(t);
  const path = join(directory, 'token');
  const made = readOrMakeToken(path);
  t.equal(readOrMakeToken(path), made, 'kept for the next start');
  chmodSync(path, 0o640);
  t.throws(() => readOrMakeToken(path), {
    code: 'token-file',
    message: /mode is 640, must be 600/,
  });
  writeFileSync(join(directory, 'short'), 'secret\n', { mode: 0o600 });
  t.throws(() => readToken(join(directory, 'short')), /at least 16/);
  t.throws(() => readToken(join(directory, 'nosuch')), /ENOENT/);
  t.throws(() => readOrMakeToken(join(directory, 'no/such')), UserError);
});

t.test('Without a daemon the command line says so, and what to do', async (t) => {
  const directory = tempDir(t);
  const path = join(directory, 'ctl');
  const gone = await runCommandLine(['ls', '--control', path], {});
  t.equal(gone.status, 1);
  t.match(
    gone.err,
    /Cannot reach the daemon at ".*ctl": there is no such socket\n {2}hint: Start one/,
  );
  const usual = await runCommandLine(['ls'], { XDG_RUNTIME_DIR: directory });
  t.match(usual.err, /Cannot reach the daemon/);
  const json = await runCommandLine(['ls', '--json', '--control', path], {});
  t.match(JSON.parse(json.err), { code: 'daemon-unreachable' });
  t.equal(json.out, '');
});

t.test('A daemon that goes away in the middle is told from one that refuses', async (t) => {
  const directory = tempDir(t);
  const path = join(directory, 'ctl');
  const server = createServer((socket) => socket.on('data', () => socket.destroy()));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  const { status, err } = await runCommandLine(['status', '--control', path], {});
  t.equal(status, 1);
  t.match(err, /it went away before it had answered/);
});

t.test('A wait ends with the daemon', async (t) => {
  const rig = await ControlRig.start(t, { table: '0 8 zero', name: 'data' });
  const waiting = rig.run('wait', 'data');
  while (rig.daemon.devices.get('data').eventWaiterCount === 0) await rig.json('version');
  await rig.stop();
  t.match(await waiting, { status: 1, err: /it went away before it had answered/ });
});

t.test('Addresses are told apart: paths, hosts with ports', (t) => {
  t.same(parseControlAddress('/run/x.ctl'), { kind: 'unix', path: '/run/x.ctl' });
  t.same(parseControlAddress('./a:1/b'), { kind: 'unix', path: './a:1/b' });
  t.same(parseControlAddress('localhost:80'), { kind: 'tcp', host: 'localhost', port: 80 });
  t.same(parseControlAddress('[::1]:80'), { kind: 'tcp', host: '::1', port: 80 });
  t.throws(() => parseControlAddress(''), UserError);
  t.throws(() => parseControlAddress('a\0b'), UserError);
  t.same(defaultControlSockets({}), ['/run/nbd-mirror.ctl']);
  t.same(defaultControlSockets({ XDG_RUNTIME_DIR: '/x' }), [
    '/x/nbd-mirror.ctl',
    '/run/nbd-mirror.ctl',
  ]);
  t.end();
});
