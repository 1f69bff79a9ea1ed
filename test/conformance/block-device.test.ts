import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { SECTOR_SIZE } from '../../src/base/units.ts';
import { CheckedDevice } from '../../src/block/checked-device.ts';
import { AIO_POLICIES } from '../../src/block/file/lane.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { openDevice } from '../../src/block/open-device.ts';
import { SystemClock } from '../../src/daemon/system-clock.ts';
import { loadClientTls } from '../../src/daemon/tls/client-credentials.ts';
import { openNbdDevice } from '../../src/nbd/client/open-nbd-device.ts';
import { NbdServer } from '../../src/nbd/server/server.ts';
import { formatNbdUri } from '../../src/nbd/uri.ts';
import { tempDir } from '../support/temp-dir.ts';
import { findTool, requireRoot, requireThat } from '../support/tools.ts';
import { blockDeviceConformance } from './block-device-conformance.ts';

t.test('MemoryDevice', async (t) => {
  blockDeviceConformance(t, async (sizeSectors) => {
    const device = new MemoryDevice({ sizeSectors });
    return { device, medium: () => device.bytes };
  });
});

t.test('MemoryDevice with blocks of 4096 bytes', async (t) => {
  blockDeviceConformance(t, async (sizeSectors) => ({
    device: new MemoryDevice({ sizeSectors, logicalBlockSize: 4096 }),
  }));
});

t.test('MemoryDevice, sparse', async (t) => {
  blockDeviceConformance(t, async (sizeSectors) => ({
    device: new MemoryDevice({ sizeSectors, sparse: true }),
  }));
});

t.test('CheckedDevice', async (t) => {
  blockDeviceConformance(t, async (sizeSectors) => ({
    device: new CheckedDevice(new MemoryDevice({ sizeSectors })),
  }));
});

for (const kind of ['unix', 'tcp'] as const) {
  for (const word of ['', 'reconnect-delay=10', 'connections=3']) {
    t.test(`NbdDevice over our own server, ${kind}, ${word}`, async (t) => {
      const clock = new SystemClock();
      const directory = tempDir(t);
      blockDeviceConformance(t, async (sizeSectors) => {
        const under = new MemoryDevice({ sizeSectors });
        const exports = [{ name: 'data', device: under }];
        const server = new NbdServer({ clock, log: silentLogger, exports });
        if (kind === 'unix') await server.listenUnix(join(directory, 's'));
        else await server.listenTcp('127.0.0.1', 0);
        const uri = formatNbdUri(server.addresses()[0]!, 'data');
        const name = `${uri}${kind === 'unix' ? '&' : '?'}${word}`;
        const device = await openNbdDevice(name, {
          readOnly: false,
          clock,
          log: silentLogger,
          loadTls: loadClientTls,
        });
        const dispose = (): Promise<void> => server.stop({ graceMs: 0 });
        return { device, medium: () => under.bytes, dispose };
      });
    });
  }
}

for (const place of ['/tmp', '/dev/shm']) {
  for (const aio of AIO_POLICIES) {
    t.test(`FileDevice in ${place}, aio ${aio}`, async (t) => {
      const directory = mkdtempSync(join(place, 'nbd-mirror-'));
      t.teardown(() => rmSync(directory, { recursive: true }));
      const path = join(directory, 'leg.img');
      blockDeviceConformance(t, async (sectors) => {
        writeFileSync(path, '');
        truncateSync(path, sectors * SECTOR_SIZE);
        return {
          device: await openDevice(path, { readOnly: false, aio }),
          medium: () => readFileSync(path),
        };
      });
    });
  }
}

for (const blockSize of [512, 4096]) {
  t.test(`FileDevice over a loop device with blocks of ${blockSize} bytes`, async (t) => {
    const losetup = findTool('losetup');
    if (!requireRoot(t) || !requireThat(t, losetup !== null, 'losetup is not installed')) return;
    const directory = mkdtempSync('/dev/shm/nbd-mirror-');
    t.teardown(() => rmSync(directory, { recursive: true }));
    const image = join(directory, 'disk.img');
    const attach = (): string | null => {
      try {
        const args = ['--find', '--show', '--sector-size', `${blockSize}`, image];
        return execFileSync(losetup!, args, { encoding: 'utf8' }).trim();
      } catch {
        return null;
      }
    };
    writeFileSync(image, '');
    truncateSync(image, 1024 * 1024);
    const probe = attach();
    if (!requireThat(t, probe !== null, 'no loop device can be attached')) return;
    execFileSync(losetup!, ['--detach', probe!]);
    blockDeviceConformance(t, async (sectors) => {
      writeFileSync(image, '');
      truncateSync(image, sectors * SECTOR_SIZE);
      const disk = attach()!;
      const device = await openDevice(disk, { readOnly: false });
      t.equal(device.logicalBlockSize, blockSize);
      return { device, dispose: () => void execFileSync(losetup!, ['--detach', disk]) };
    });
  });
}
