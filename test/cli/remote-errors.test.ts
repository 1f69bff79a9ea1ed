/** What is wrong with a remote leg is said in one line, and nobody else is troubled by it. */

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { toSectorCount } from '../../src/base/units.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { ControlClient } from '../../src/control/control-client.ts';
import { NbdServer } from '../../src/nbd/server/server.ts';
import { COMMAND_WORDS } from '../support/command.ts';
import { RealClock } from '../support/nbd-clock.ts';
import { runProgram } from '../support/run-program.ts';
import { ServerProcess } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const SECTORS = 2048;

/** Serves exports of several kinds on a unix socket. */
async function serveExports(t: Test, socket: string): Promise<Map<string, MemoryDevice>> {
  const device = (sectors: number): MemoryDevice =>
    new MemoryDevice({ sizeSectors: toSectorCount(sectors) });
  const devices = new Map([
    ['good', device(SECTORS)],
    ['small', device(SECTORS - 8)],
    ['fixed', device(SECTORS)],
  ]);
  const exports = [...devices].map(([name, one]) => ({
    name,
    device: one,
    readOnly: name === 'fixed',
  }));
  const server = new NbdServer({ clock: new RealClock(), log: silentLogger, exports });
  t.teardown(() => server.abort());
  await server.listenUnix(socket);
  return devices;
}

async function babble(t: Test, socket: string, talk: (client: Socket) => void): Promise<void> {
  const server = createServer((client) => {
    client.on('error', () => {});
    talk(client);
  });
  server.listen(socket);
  await once(server, 'listening');
  t.teardown(() => server.close());
}

t.test('a remote leg that will not do is refused with the reason', async (t) => {
  const directory = tempDir(t);
  const socket = join(directory, 's');
  const garbage = join(directory, 'g');
  await serveExports(t, socket);
  await babble(t, garbage, (client) => client.end('HTTP/1.1 418 I am a teapot\r\n\r\n'));
  const table = (uri: string): string => `0 ${SECTORS} mirror core 1 128 2 a.img 0 ${uri} 0`;
  const unix = `nbd+unix:///good?socket=${socket}`;
  const cases: readonly [string, RegExp][] = [
    [table(`nbd+unix:///small?socket=${socket}`), /small.*(too small|2040|sectors)/],
    [table(`nbd+unix:///fixed?socket=${socket}`), /its server allows no writes/],
    [table(`nbd+unix:///none?socket=${socket}`), /refused GO: ERR_UNKNOWN there is no export/],
    [table(`nbd+unix:///x?socket=${garbage}`), /does not speak fixed newstyle NBD/],
    [table(`nbd+unix:///x?socket=${join(directory, 'nobody')}`), /ENOENT/],
    [table('nbd://127.0.0.1:1/x'), /Cannot open "nbd:\/\/127.0.0.1:1\/x": .*ECONNREFUSED/],
    [table(`${unix}&reconnect=9`), /parameter "reconnect" is unknown/],
    [table(`${unix}&reconnect-delay=soon`), /reconnect-delay is "soon", must be 0 to 86400/],
    [table(`${unix}&connections=17`), /connections is "17", must be 1 to 16/],
    [table('nbd+http://host/x'), /scheme is "nbd\+http", must be one of/],
    [table('iscsi://host/x'), /scheme is "iscsi", must be one of nbd, nbds, nbd\+unix, nbds\+unix/],
    [`0 ${SECTORS} mirror disk 2 ${unix} 128 2 a.img 0 ${unix} 0`, /as log and leg|as leg and log/],
  ];
  writeFileSync(join(directory, 'a.img'), Buffer.alloc(SECTORS * 512));
  for (const [line, message] of cases) {
    const place = line.replaceAll('a.img', join(directory, 'a.img'));
    const words = [...COMMAND_WORDS, 'serve', '--socket', join(directory, 'm'), '--table', place];
    const { status, stderr } = await runProgram(words);
    t.equal(status, 2, line);
    t.match(stderr, message, line);
  }
});

t.test('what a remote leg does wrong at run time is its own affair', async (t) => {
  const directory = tempDir(t);
  const socket = join(directory, 's');
  const devices = await serveExports(t, socket);
  const uri = `nbd+unix:///good?socket=${socket}`;
  const sabotage = join(directory, 'g');
  const wires: Socket[] = [];
  // A server that begins to babble in the middle of the transmission.
  const real = new NbdServer({
    clock: new RealClock(),
    log: silentLogger,
    exports: [{ name: 'x', device: devices.get('good')! }],
  });
  t.teardown(() => real.abort());
  const hidden = join(directory, 'h');
  await real.listenUnix(hidden);
  const { connect } = await import('node:net');
  await babble(t, sabotage, (client) => {
    const wire = connect(hidden);
    wire.on('error', () => {});
    wire.on('close', () => client.destroy());
    client.on('close', () => wire.destroy());
    client.pipe(wire).pipe(client);
    wires.push(client);
  });
  const server = await ServerProcess.start(t, {
    directory,
    args: [
      '--table',
      `0 ${SECTORS} linear ${uri} 0`,
      '--name',
      'one',
      '--control',
      join(directory, 'ctl'),
    ],
  });
  const control = new ControlClient({ address: { kind: 'unix', path: join(directory, 'ctl') } });
  const call = async (verb: string, input: object): Promise<string> => {
    const { status, body } = await control.call(verb, input, 'text');
    return `${status} ${body}`;
  };
  const other = `nbd+unix:///x?socket=${sabotage}`;
  t.match(await call('create', { device: 'two', table: `0 ${SECTORS} linear ${other} 0` }), /^200/);
  const bystander = await server.connect('one');
  const victim = await server.connect('two');
  await victim.write(0, Buffer.alloc(4096, 1));
  wires.at(-1)!.write(Buffer.alloc(64, 0x42));
  await waitUntil('the failure', () =>
    /has failed: Server sent a reply with a wrong magic/.test(server.output),
  );
  await t.rejects(victim.read(0, 4096), { code: 5 });
  await bystander.write(4096, Buffer.alloc(4096, 2));
  t.equal((await bystander.read(4096, 1))[0], 2);

  const own = `nbd+unix:///one?socket=${join(directory, 'nbd.sock')}`;
  const loop = await call('create', { device: 'three', table: `0 ${SECTORS} linear ${own} 0` });
  t.match(loop, /it is served by this process, must be on another server/);
  t.match(await call('ls', {}), /one.*two/s);
  await victim.close();
  await bystander.close();
  await server.stop();
});
