/** Allow and deny lists, limits of connections, deadlines, and sockets of a parent. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { COMMAND_WORDS, type RunningCommand, startCommand } from '../support/command.ts';
import { PlainNbdClient } from '../support/plain-nbd-client.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const MIRROR = ['--leg', 'memory:a,size=1M', '--leg', 'memory:b,size=1M', '--nosync'];

async function serve(t: Test, ...words: string[]): Promise<RunningCommand & { ports: number[] }> {
  const server = startCommand(t, ['serve', ...MIRROR, ...words], { cwd: tempDir(t) });
  await server.says(/attach/);
  const ports = [...server.stdout.matchAll(/^ready: .*:(\d+)\/$/gm)].map(({ 1: port }) => +port!);
  return Object.assign(server, { ports });
}

t.test('serve --allow and --deny let in who is meant', async (t) => {
  const listen = ['--listen', '127.0.0.1:0', '--listen', '[::1]:0', '--listen', ':0'];
  const filter = ['--allow', '127.0.0.0/8', '--allow', '::1', '--deny', '::/0'];
  const server = await serve(t, ...listen, '--socket', 'm.sock', ...filter);
  const [four, six, both] = server.ports as [number, number, number];
  const welcome = [
    { host: '127.0.0.1', port: four },
    // A client of IPv4 on a socket of IPv6.
    { host: '127.0.0.1', port: both },
  ];
  for (const place of welcome) await (await PlainNbdClient.connect(place)).close();
  for (const port of [six, both]) {
    for (let count = 0; count < 3; count++) {
      await t.rejects(PlainNbdClient.connect({ host: '::1', port }), { message: /closed|failed/ });
    }
  }
  await waitUntil('the log', () => /its address is not allowed/.test(server.stderr));
  t.match(await server.stop(), { status: 0 });
  t.equal(server.stderr.match(/not allowed/g)?.length, 1, 'logged once');
});

t.test('serve --max-connections and its kin free a place when a client leaves', async (t) => {
  for (const option of ['--max-connections', '--max-connections-per-export']) {
    const server = await serve(t, '--listen', '127.0.0.1:0', option, '2');
    const place = { host: '127.0.0.1', port: server.ports[0]! };
    const clients = [await PlainNbdClient.connect(place), await PlainNbdClient.connect(place)];
    await t.rejects(PlainNbdClient.connect(place), option);
    t.equal((await clients[0]!.read(0, 1)).length, 1, 'others do not notice');
    await clients[1]!.close();
    // The client may know a moment before the server that the connection has closed.
    let next: PlainNbdClient | null = null;
    await waitUntil('a free place', async () => {
      next = await PlainNbdClient.connect(place).catch(() => null);
      return next !== null;
    });
    await next!.close();
    await clients[0]!.close();
    t.match(await server.stop(), { status: 0 });
  }
});

t.test('serve --handshake-timeout drops who does not get on', async (t) => {
  const server = await serve(t, '--listen', '127.0.0.1:0', '--handshake-timeout', '1');
  const place = { host: '127.0.0.1', port: server.ports[0]! };
  const served = await PlainNbdClient.connect(place);
  const silent = connect(place);
  silent.resume();
  await once(silent, 'close');
  t.equal((await served.read(0, 1)).length, 1, 'who is served has all the time in the world');
  await served.close();
  t.match(await server.stop(), { status: 0 });
});

t.test('serve takes several sockets from a parent, and none of its own beside them', async (t) => {
  const cwd = tempDir(t);
  const listeners = [createServer(), createServer()];
  listeners[0]!.listen(join(cwd, 's'));
  // What binds a path removes it in the end: clients use another name of the socket.
  listeners[1]!.listen(0, '127.0.0.1');
  await Promise.all(listeners.map((one) => once(one, 'listening')));
  const { port } = listeners[1]!.address() as { port: number };
  const handles = listeners.map((one) => (one as unknown as { _handle: { fd: number } })._handle);
  const start = (...words: string[]) => {
    // The shell becomes the server, so that it knows the number of its process.
    const script = 'export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=nbd:nbd; exec "$@"';
    const command = [...COMMAND_WORDS, 'serve', ...MIRROR, '--pid-file', 'pid', ...words];
    const child = spawn('sh', ['-c', script, 'sh', ...command], {
      cwd,
      env: { ...process.env, NODE_OPTIONS: '' },
      stdio: ['ignore', 'ignore', 'pipe', handles[0]!.fd, handles[1]!.fd],
    });
    t.teardown(() => void child.kill('SIGKILL'));
    return child;
  };
  const refused = start('--socket', 'm.sock');
  let text = '';
  refused.stderr!.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  const [status] = await once(refused, 'close');
  t.equal(status, 2);
  t.match(text, /sockets were passed by the parent and --socket is given/);
  const server = start();
  await waitUntil('the server', () => existsSync(join(cwd, 'pid')));
  linkSync(join(cwd, 's'), join(cwd, 'again'));
  // Only the server accepts from now on.
  for (const handle of handles) (handle as unknown as { close(): void }).close();
  for (const place of [{ path: join(cwd, 'again') }, { host: '127.0.0.1', port }]) {
    const client = await PlainNbdClient.connect(place);
    t.equal(client.sizeBytes, 2 ** 20);
    await client.close();
  }
  server.kill('SIGTERM');
  const [code] = await once(server, 'exit');
  t.equal(code, 0);
});
