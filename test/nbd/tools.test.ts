/** A first look by other people's clients; the thorough one is in `test/interop`. */

import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { NbdServer } from '../../src/nbd/server/server.ts';
import { formatNbdUri } from '../../src/nbd/uri.ts';
import { RealClock } from '../support/nbd-clock.ts';
import { tempDir } from '../support/temp-dir.ts';
import { findTool, requireTool } from '../support/tools.ts';

const run = promisify(execFile);
const SIZE = 8 * 2 ** 20;

async function serve(t: Test): Promise<{ device: MemoryDevice; uris: string[]; port: number }> {
  const device = new MemoryDevice({ sizeSectors: SIZE / 512 });
  for (let at = 0; at < SIZE; at += 4096) device.bytes.fill(at / 4096, at, at + 4000);
  const name = 'an export / 100%';
  const exports = [{ name, description: 'of eight mebibytes', device }];
  const server = new NbdServer({ clock: new RealClock(), log: silentLogger, exports });
  t.teardown(() => server.stop({ graceMs: 1000 }));
  await server.listenUnix(join(tempDir(t), 's'));
  const tcp = await server.listenTcp('127.0.0.1', 0);
  const uris = server.addresses().map((address) => formatNbdUri(address, name));
  return { device, uris, port: tcp.kind === 'tcp' ? tcp.port : 0 };
}

t.test('nbdinfo understands what the server says, by unix socket and TCP', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const { uris } = await serve(t);
  for (const uri of uris) {
    const { stdout } = await run('nbdinfo', ['--json', uri]);
    t.match(JSON.parse(stdout), {
      protocol: 'newstyle-fixed',
      structured: true,
      exports: [
        {
          'export-name': 'an export / 100%',
          description: 'of eight mebibytes',
          'export-size': SIZE,
          can_multi_conn: true,
          can_fua: true,
          can_df: true,
          can_fast_zero: true,
          is_read_only: false,
          block_size_minimum: 1,
          block_size_preferred: 4096,
          block_size_maximum: 33_554_432,
        },
      ],
    });
    const listed = await run('nbdinfo', ['--list', '--json', uri]);
    t.equal(JSON.parse(listed.stdout).exports.length, 1);
  }
});

t.test('nbdcopy copies out and in', async (t) => {
  if (!requireTool(t, 'nbdcopy')) return;
  const { device, uris } = await serve(t);
  const file = join(tempDir(t), 'image');
  for (const uri of uris) {
    await run('nbdcopy', [uri, file]);
    t.ok(readFileSync(file).equals(device.bytes));
    const image = Buffer.alloc(SIZE, `other ${uri}`);
    image.fill(0, SIZE / 2, SIZE - 4096);
    writeFileSync(file, image);
    await run('nbdcopy', ['--flush', file, uri]);
    t.ok(image.equals(device.bytes));
  }
});

t.test('nbd-client lists the exports', async (t) => {
  if (!requireTool(t, 'nbd-client')) return;
  const { port } = await serve(t);
  const { stdout } = await run(findTool('nbd-client')!, ['-l', '127.0.0.1', `${port}`]);
  t.match(stdout, 'an export / 100%: of eight mebibytes');
});

t.test('nbdinfo starts a server by socket activation', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const program = join(import.meta.dirname, '../support/nbd-activated.ts');
  const command = [process.execPath, '--import=tsx', program];
  const { stdout } = await run('nbdinfo', ['--json', '--', '[', ...command, ']']);
  const { description } = JSON.parse(stdout).exports[0];
  t.match(description, /^\/.+/, `it knows the path of its socket: ${description}`);
});
