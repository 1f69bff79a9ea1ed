/**
 * The life of a server process: ready, signals, captive commands, activation, rivals, other ends.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { COMMAND_WORDS, runCommand, startCommand } from '../support/command.ts';
import { differingRegions, isAllClean } from '../support/log-file.ts';
import { PlainNbdClient } from '../support/plain-nbd-client.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

const MIB = 2 ** 20;
const CREATE = ['--create', '--size', '4M', '--leg', 'a.img', '--leg', 'b.img'];
const MIRROR = [...CREATE, '--log', 'disk:log.img', '--region-size', '64K'];

/** A command that goes on for as long as the server does. */
const GO_ON = 'echo go; while kill -0 $PPID 2>/dev/null; do sleep 0.05; done';

function serve(t: Test, cwd: string, ...words: string[]) {
  return startCommand(t, ['serve', ...MIRROR, ...words], { cwd });
}

t.test('serve makes files, says the table and how to attach, stops at SIGTERM', async (t) => {
  const cwd = tempDir(t);
  const server = serve(t, cwd, '--socket', 'm.sock', '--pid-file', 'pid', '--handle-errors');
  await server.says(/nbdfuse/);
  t.match(
    server.stdout,
    'table: 0 8192 mirror disk 2 log.img 128 2 a.img 0 b.img 0 1 handle_errors\n' +
      `ready: nbd+unix:///?socket=${cwd}/m.sock\n`,
  );
  for (const program of ['nbdinfo', 'qemu-img', 'nbd-client', 'qemu-nbd', 'nbdfuse']) {
    t.match(server.stdout, `${program} `);
  }
  t.equal(readFileSync(join(cwd, 'pid'), 'utf8'), `${server.child.pid}\n`);
  t.equal(statSync(join(cwd, 'a.img')).size, 4 * MIB);
  t.equal(statSync(join(cwd, 'log.img')).size, 1536);
  const client = await PlainNbdClient.connect({ path: join(cwd, 'm.sock') });
  await client.write(65_536, Buffer.alloc(8192, 7));
  await client.close();
  await waitUntil('the copy', () => /in sync/.test(server.stderr));
  t.match(await server.stop(), { status: 0, signal: null });
  t.notOk(existsSync(join(cwd, 'pid')), 'the pid file is gone');
  t.notOk(existsSync(join(cwd, 'm.sock')), 'the socket is gone');
  t.strictSame(differingRegions([join(cwd, 'a.img'), join(cwd, 'b.img')], 65_536), []);
  t.equal(readFileSync(join(cwd, 'b.img'))[65_536 + 100], 7);
  t.ok(isAllClean(join(cwd, 'log.img')), 'all regions are clean');
});

t.test('serve tells of resynchronisation, and leaves a copy', async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, 'a.img'), Buffer.alloc(4 * MIB, 0xa5));
  const server = serve(t, cwd, '--socket', 'm.sock');
  await server.says(/ready/);
  await waitUntil('the copy', () => /in sync: all 64 regions/.test(server.stderr));
  t.match(server.stderr, /event \d+: 0 8192 mirror 2 a.img b.img 64\/64 1 AA 3 disk log.img A/);
  t.match(await server.stop('SIGINT'), { status: 0 });
  t.strictSame(differingRegions([join(cwd, 'a.img'), join(cwd, 'b.img')], 65_536), []);
});

t.test('serve goes on where it was, and keeps what is there', async (t) => {
  const cwd = tempDir(t);
  for (const round of [0, 1]) {
    const server = serve(t, cwd, '--socket', 'm.sock');
    await server.says(/ready/);
    await waitUntil('both legs', () => isAllClean(join(cwd, 'log.img')));
    if (round === 0) {
      const client = await PlainNbdClient.connect({ path: join(cwd, 'm.sock') });
      await client.write(0, Buffer.alloc(512, 9));
      await client.close();
      t.match(await server.stop('SIGKILL'), { signal: 'SIGKILL' });
      t.ok(existsSync(join(cwd, 'm.sock')), 'a stale socket is left');
      continue;
    }
    const client = await PlainNbdClient.connect({ path: join(cwd, 'm.sock') });
    t.ok((await client.read(0, 512)).equals(Buffer.alloc(512, 9)));
    t.match(await server.stop(), { status: 0 });
  }
});

t.test('serve: a second server finds legs, log or socket taken', async (t) => {
  const cwd = tempDir(t);
  const first = serve(t, cwd, '--socket', 'm.sock');
  await first.says(/ready/);
  const rival = await runCommand(['serve', ...MIRROR, '--socket', 'other.sock'], { cwd });
  t.equal(rival.status, 2);
  t.match(rival.stderr, `Cannot open "log.img": it is locked by process ${first.child.pid}`);
  const legs = ['--leg', 'a.img', '--leg', 'c.img', '--size', '4M', '--create'];
  const half = await runCommand(['serve', ...legs, '--socket', 'other.sock'], { cwd });
  t.equal(half.status, 2);
  t.match(half.stderr, /"a.img": it is locked by process/);
  const others = ['--leg', 'd.img', '--leg', 'e.img', '--size', '4M', '--create'];
  const taken = await runCommand(['serve', ...others, '--socket', 'm.sock'], { cwd });
  t.equal(taken.status, 2);
  t.match(taken.stderr, /"m.sock": a server is listening there/);
  const looking = await runCommand(['log', 'show', 'log.img'], { cwd });
  t.match(looking, { status: 2, stderr: /"log.img": it is locked by process/ });
  const live = await runCommand(['log', 'show', '--live', 'log.img'], { cwd });
  t.match(live, { status: 0, stdout: /regions {2}64/ });
  t.match(await first.stop(), { status: 0 });
});

t.test('serve listens on TCP and a unix socket at once, under a name', async (t) => {
  const cwd = tempDir(t);
  const listen = ['--listen', '127.0.0.1:0', '--listen', '[::1]:0', '--socket', 'm.sock'];
  const server = serve(t, cwd, ...listen, '--name', 'data');
  await server.says(/attach/);
  const uris = [...server.stdout.matchAll(/ready: (.*)/g)].map((match) => match[1]!);
  t.match(uris, [/^nbd\+unix:\/\/\/data\?socket=/, /^nbd:\/\/127\.0\.0\.1:\d+\/data$/, /::1/]);
  if (requireTool(t, 'nbdinfo')) {
    for (const uri of uris.slice(0, 2)) {
      const size = execFileSync('nbdinfo', ['--size', uri], { encoding: 'utf8' });
      t.equal(size.trim(), String(4 * MIB));
    }
  }
  t.match(await server.stop(), { status: 0 });
});

t.test('serve --run: the command finds the server, and its exit status is ours', async (t) => {
  const cwd = tempDir(t);
  const script =
    'test -S "$unixsocket" && test "$nbd" = "nbd:unix:$unixsocket" && ' +
    'echo "$uri $exportname port=$port"; exit 7';
  const { status, stdout } = await runCommand(['serve', ...MIRROR, '--run', script], { cwd });
  t.equal(status, 7);
  const [uri, port] = stdout.trim().split(/ +/);
  t.match(uri, /^nbd\+unix:\/\/\/\?socket=\/.*\/nbd-mirror-\w+\/socket$/);
  t.equal(port, 'port=');
  t.notMatch(stdout, /table:|ready/, "standard output is the command's own");
  t.notOk(existsSync(new URL(uri!).searchParams.get('socket')!), 'the socket is gone');
  const killed = await runCommand(['serve', ...MIRROR, '--run', 'kill -9 $$'], { cwd });
  t.equal(killed.status, 137);
  const tcp = ['--listen', '127.0.0.1:0', '--run', 'echo $port $nbd'];
  const { stdout: said } = await runCommand(['serve', ...MIRROR, ...tcp], { cwd });
  t.match(said, /^(\d+) nbd:localhost:\1\n$/);
});

t.test('serve --run: a signal to the server stops the command', async (t) => {
  const cwd = tempDir(t);
  const server = serve(t, cwd, '--run', `trap "echo told; exit 3" TERM; ${GO_ON}`);
  await server.says(/go/);
  const { status, stdout } = await server.stop();
  t.equal(status, 3);
  t.match(stdout, /told/);
});

t.test('serve takes sockets over from a parent (socket activation)', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const cwd = tempDir(t);
  const command = [...COMMAND_WORDS, 'serve', ...MIRROR];
  // libnbd opens the socket, starts the command, and kills it in the end.
  const args = ['--size', '--', '[', ...command, ']'];
  t.equal(execFileSync('nbdinfo', args, { cwd, encoding: 'utf8' }).trim(), String(4 * MIB));
  const foreign = { LISTEN_PID: '1', LISTEN_FDS: '1' };
  const words = ['serve', ...MIRROR, '--run', 'echo "fds=$LISTEN_FDS"'];
  const { stdout } = await runCommand(words, { cwd, env: foreign });
  t.equal(stdout, 'fds=\n', 'sockets for another process are not for us, nor for our children');
});

t.test('serve stops at once at a second signal', async (t) => {
  const cwd = tempDir(t);
  const server = serve(t, cwd, '--run', `trap "" TERM; ${GO_ON}`);
  await server.says(/go/);
  server.child.kill('SIGTERM');
  // The first one must have been taken before the second is sent: signals do not queue.
  await waitUntil('the first signal to be taken', () => !pendingSignals(server.child.pid!));
  t.match(await server.stop(), { status: 143 });
});

function pendingSignals(pid: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return [...status.matchAll(/^(?:Sig|Shd)Pnd:\s+(\w+)/gm)].some(
    (match) => !/^0+$/.test(match[1]!),
  );
}

t.test('serve --exit-with-parent stops when its parent is killed', async (t) => {
  const cwd = tempDir(t);
  const options = ['--nosync', '--socket', 'm.sock', '--pid-file', 'pid'];
  const words = [...COMMAND_WORDS, 'serve', ...MIRROR, ...options];
  const parent = spawn('sh', ['-c', '"$@" & wait', 'sh', ...words, '--exit-with-parent'], { cwd });
  t.teardown(() => void parent.kill('SIGKILL'));
  await waitUntil('the server', () => existsSync(join(cwd, 'pid')));
  const pid = Number(readFileSync(join(cwd, 'pid'), 'utf8'));
  t.teardown(() => {
    if (existsSync(`/proc/${pid}/cmdline`)) process.kill(pid, 'SIGKILL');
  });
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  await waitUntil('the server to stop', () => !existsSync(join(cwd, 'pid')));
  t.ok(isAllClean(join(cwd, 'log.img')), 'it stopped in good order');
});

t.test('serve --read-only opens nothing for writing', async (t) => {
  const cwd = tempDir(t);
  const made = await runCommand(['serve', ...MIRROR, '--nosync', '--run', 'true'], { cwd });
  t.equal(made.status, 0);
  writeFileSync(join(cwd, 'a.img'), Buffer.alloc(4 * MIB, 1));
  const before = ['a.img', 'b.img', 'log.img'].map((name) => readFileSync(join(cwd, name)));
  const server = serve(t, cwd, '--socket', 'm.sock', '--read-only', '--sync');
  await server.says(/ready/);
  const client = await PlainNbdClient.connect({ path: join(cwd, 'm.sock') });
  t.ok((await client.read(0, 512)).equals(Buffer.alloc(512, 1)), 'the first leg is read');
  await t.rejects(client.write(0, Buffer.alloc(512, 2)));
  t.match(await server.stop(), { status: 0 });
  for (const [index, name] of ['a.img', 'b.img', 'log.img'].entries()) {
    t.ok(readFileSync(join(cwd, name)).equals(before[index]!), `${name} is as it was`);
  }
});

t.test('serve takes a table of several targets from a file or from standard input', async (t) => {
  const cwd = tempDir(t);
  for (const name of ['a.img', 'b.img', 'c.img']) {
    writeFileSync(join(cwd, name), '');
    truncateSync(join(cwd, name), MIB);
  }
  const table =
    '# three targets\n0 2048 mirror core 2 64 nosync 2 a.img 0 b.img 0\n' +
    '2048 2048 linear c.img 0\n4096 2048 zero\n';
  writeFileSync(join(cwd, 'my.table'), table);
  for (const [file, stdin] of [
    ['my.table', ''],
    ['-', table],
  ] as const) {
    const words = ['serve', '--table-file', file, '--run', 'echo $uri'];
    t.match(await runCommand(words, { cwd, stdin }), { status: 0, stdout: /nbd\+unix/ });
  }
  const words = table
    .trim()
    .split('\n')
    .slice(1)
    .flatMap((line) => ['--table', line]);
  const server = startCommand(t, ['serve', ...words, '--socket', 'm.sock'], { cwd });
  await server.says(/ready/);
  const client = await PlainNbdClient.connect({ path: join(cwd, 'm.sock') });
  await client.write(MIB - 512, Buffer.alloc(1024, 5));
  t.match(await server.stop(), { status: 0 });
  t.equal(readFileSync(join(cwd, 'b.img')).at(-1), 5);
  t.equal(readFileSync(join(cwd, 'c.img'))[0], 5);
});

t.test('serve --overwrite-log and --resize-log take what is refused otherwise', async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, 'log.img'), 'not a log\n'.repeat(300));
  const run = (...words: string[]) =>
    runCommand(['serve', ...MIRROR, '--run', 'sleep 0.3', ...words], { cwd });
  t.match(await run(), { status: 2, stderr: /it holds something that is no log/ });
  t.match(await run('--overwrite-log'), { status: 0 });
  t.match(await run(), { status: 0 });
  const log = readFileSync(join(cwd, 'log.img'));
  log.writeUInt32LE(9, 4);
  writeFileSync(join(cwd, 'log.img'), log);
  t.match(await run(), { status: 2, stderr: /its version is 9, must be 2/ });
  t.match(await run('--overwrite-log'), { status: 0 });
  t.equal(readFileSync(join(cwd, 'log.img')).readUInt32LE(4), 2);
  const other = await run('--region-size', '128K');
  t.match(other, { status: 2, stderr: /it has 64 regions, must have 32/ });
  t.match(await run('--region-size', '128K', '--resize-log'), { status: 0 });
  t.equal(readFileSync(join(cwd, 'log.img')).readUInt32LE(8), 32);
});

t.test('serve --log-json logs as JSON', async (t) => {
  const cwd = tempDir(t);
  const { status, stderr } = await runCommand(['serve', ...MIRROR, '--log-json', '--run', 'true'], {
    cwd,
  });
  t.equal(status, 0);
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(lines, [{ name: 'nbd-mirror', msg: 'created "log.img"', bytes: 1536 }]);
});

t.test('serve fails in good order when the port is taken', async (t) => {
  const cwd = tempDir(t);
  const rival = createServer().listen(0, '127.0.0.1');
  await once(rival, 'listening');
  t.teardown(() => rival.close());
  const { port } = rival.address() as { port: number };
  const words = ['serve', ...MIRROR, '--listen', `127.0.0.1:${port}`];
  t.match(await runCommand(words, { cwd }), { status: 2, stderr: /address is in use/ });
});
