/** Every way in which a device cannot be opened ends in a clear error, and leaves it as it was. */

import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { UserError } from '../../src/base/failure.ts';
import { pathOfBlockDevice } from '../../src/block/file/block-device-file.ts';
import {
  createMissing,
  identifyDevice,
  measureDevice,
  openDevice,
} from '../../src/block/open-device.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireRoot } from '../support/tools.ts';

const NOBODY = 65_534;

t.test('openDevice() says why a thing cannot be a device', async (t) => {
  const directory = tempDir(t);
  const inside = (name: string): string => join(directory, name);
  mkdirSync(inside('folder'));
  writeFileSync(inside('empty'), '');
  writeFileSync(inside('short'), Buffer.alloc(511));
  execFileSync('mkfifo', [inside('pipe')]);
  const server = createServer().listen(inside('socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const cases: [name: string, code: string, message: RegExp][] = [
    [inside('missing'), 'device-missing', /it does not exist/],
    [inside('no/where'), 'device-missing', /no directory ".*\/no"/],
    [inside('empty/x'), 'device-missing', /a part of its path is no directory/],
    [inside('folder'), 'device-is-directory', /it is a directory/],
    [inside('empty'), 'device-too-short', /size is 0 bytes, must be at least 512/],
    [inside('short'), 'device-too-short', /size is 511 bytes/],
    [inside('pipe'), 'device-not-a-file', /it is a named pipe, must be/],
    [inside('socket'), 'device-not-a-file', /it is a socket/],
    ['/dev/null', 'device-not-a-file', /it is a character device/],
    ['999:999', 'device-missing', /"999:999"/],
  ];
  for (const [name, code, message] of cases) {
    for (const readOnly of [false, true]) {
      await t.rejects(
        openDevice(name, { readOnly }),
        { name: UserError.name, code, message },
        `${name}, read-only ${readOnly}`,
      );
    }
  }
});

t.test('openDevice() needs leave to write, or to read', async (t) => {
  if (!requireRoot(t)) return;
  const directory = tempDir(t);
  chmodSync(directory, 0o755);
  const path = join(directory, 'leg.img');
  writeFileSync(path, Buffer.alloc(4096));
  chmodSync(path, 0o444);
  process.seteuid!(NOBODY);
  try {
    const error = { code: 'device-permission', message: /permission denied, must be/ };
    await t.rejects(openDevice(path, { readOnly: false }), error);
    await t.rejects(openDevice(join(directory, 'new'), { readOnly: false, create: 512 }), error);
    await (await openDevice(path, { readOnly: true })).close();
  } finally {
    process.seteuid!(0);
  }
  t.notOk(existsSync(join(directory, 'new')));
});

t.test(
  'openDevice() creates a missing file only where asked, and keeps one that is there',
  async (t) => {
    const path = join(tempDir(t), 'leg.img');
    await t.rejects(openDevice(path, { readOnly: true, create: 4096 }), { code: 'device-missing' });
    const device = await openDevice(path, { readOnly: false, create: 1_048_576 });
    t.equal(device.sizeSectors, 2048);
    t.equal(statSync(path).blocks, 0, 'it is sparse');
    await device.close();
    writeFileSync(path, Buffer.alloc(4096, 7));
    const again = await openDevice(path, { readOnly: false, create: 1_048_576 });
    t.equal(again.sizeSectors, 8);
    await again.close();
    t.ok(readFileSync(path).equals(Buffer.alloc(4096, 7)));
    t.equal(createMissing(path, 512), false);
    const huge = join(tempDir(t), 'huge.img');
    t.throws(() => createMissing(huge, 2 ** 60), { code: 'device-create-failed' });
    t.notOk(existsSync(huge), 'nothing is left of it');
  },
);

t.test('openDevice() lets one server write, or several readers look', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  writeFileSync(path, Buffer.alloc(4096));
  const busy = {
    code: 'device-busy',
    message:
      `Cannot open "${path}": it is locked by process ${process.pid}, ` +
      'must not be in use by another server',
  };
  const writer = await openDevice(path, { readOnly: false });
  await t.rejects(openDevice(path, { readOnly: false }), busy);
  await t.rejects(openDevice(path, { readOnly: true }), busy);
  await (await openDevice(path, { readOnly: true, lock: false })).close();
  await writer.close();
  const readers = [await openDevice(path, { readOnly: true })];
  readers.push(await openDevice(path, { readOnly: true }));
  await t.rejects(openDevice(path, { readOnly: false }), { code: 'device-busy' });
  for (const reader of readers) await reader.close();
  await (await openDevice(path, { readOnly: false })).close();
});

t.test(
  'openDevice() respects a lock by another program, which ends with that program',
  async (t) => {
    const path = join(tempDir(t), 'leg.img');
    writeFileSync(path, Buffer.alloc(4096));
    const script = 'exec 9<>"$0"; flock -n 9 && echo locked && exec sleep 1000 9>&9';
    const holder = spawn('sh', ['-c', script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const gone = new Promise((resolve) => holder.once('exit', resolve));
    t.teardown(() => void holder.kill('SIGKILL'));
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    await t.rejects(openDevice(path, { readOnly: false }), { code: 'device-busy' });
    holder.kill('SIGKILL');
    await gone;
    await (await openDevice(path, { readOnly: false })).close();
  },
);

t.test(
  'identifyDevice() is the same for every name of one file, as is an open device',
  async (t) => {
    const directory = tempDir(t);
    const path = join(directory, 'leg.img');
    writeFileSync(path, Buffer.alloc(4096));
    symlinkSync(path, join(directory, 'symlink'));
    linkSync(path, join(directory, 'hardlink'));
    writeFileSync(join(directory, 'other'), Buffer.alloc(4096));
    const names = [path, join(directory, '.', 'leg.img'), join(directory, 'symlink')];
    names.push(join(directory, 'hardlink'), `file:${path}`);
    const device = await openDevice(path, { readOnly: false });
    t.teardown(() => device.close());
    for (const name of names) t.equal(await identifyDevice(name), device.identity, name);
    t.not(await identifyDevice(join(directory, 'other')), device.identity);
    await t.rejects(identifyDevice(join(directory, 'missing')), { code: 'device-missing' });
  },
);

t.test('measureDevice() knows the size of what is there', async (t) => {
  const path = join(tempDir(t), 'leg.img');
  t.equal(await measureDevice(path), null);
  writeFileSync(path, Buffer.alloc(5000));
  t.equal(await measureDevice(path), 5000);
  t.equal(await measureDevice('memory:x,size=1M'), 1_048_576);
});

t.test('openDevice() gives memory, sparse when it is large', async (t) => {
  const device = await openDevice('memory:x,size=8T', { readOnly: false });
  t.equal(device.sizeSectors, 2 ** 34);
  t.equal(device.identity, await identifyDevice('memory:x,size=8T'));
  await device.close();
});

t.test('openDevice() makes no file where devices are', async (t) => {
  const path = '/dev/nbd-mirror-is-not-there';
  await t.rejects(openDevice(path, { readOnly: false, create: 4096 }), {
    message: `Cannot create "${path}": it would be a file in /dev, must be a device that exists`,
  });
  t.notOk(existsSync(path));
  await t.rejects(openDevice(path, { readOnly: true }), /it does not exist, must be there/);
});

t.test('pathOfBlockDevice() knows names where udev has made no links', async (t) => {
  t.equal(pathOfBlockDevice('/dev/sdb'), '/dev/sdb');
  t.equal(pathOfBlockDevice('/dev/block/4095:1'), '/dev/block/4095:1', 'there is none');
  for (const numbers of readdirSync('/sys/dev/block')) {
    const link = `/dev/block/${numbers}`;
    const path = pathOfBlockDevice(link);
    if (existsSync(link)) t.equal(path, link);
    else t.match(path, /^\/dev\/(?!block\/)/);
  }
});
