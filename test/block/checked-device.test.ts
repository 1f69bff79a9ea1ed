/** The checked wrapper finds each breach of the contract, whoever commits it. */

import t from 'tap';
import { EIO, OK } from '../../src/base/errno.ts';
import { SECTOR_SIZE, type Sector, type SectorCount } from '../../src/base/units.ts';
import { Bio, type BioRequest } from '../../src/block/bio.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { CheckedDevice } from '../../src/block/checked-device.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';

function makeBio(request: Partial<BioRequest> & { op: BioRequest['op'] }): Bio {
  const hasPlace = request.op !== 'flush';
  const count = request.count ?? ((hasPlace ? 8 : 0) as SectorCount);
  const hasData = request.op === 'read' || request.op === 'write';
  return new Bio({
    sector: 0 as Sector,
    count,
    data: hasData ? new Uint8Array(count * SECTOR_SIZE) : null,
    fua: false,
    onEnd: () => {},
    ...request,
  });
}

/** A device that does with each bio what it is told to. */
function deviceThat(submit: (bio: Bio) => void): BlockDevice {
  const memory = new MemoryDevice({ sizeSectors: 64, logicalBlockSize: 4096 });
  return {
    name: 'odd',
    sizeSectors: memory.sizeSectors,
    logicalBlockSize: memory.logicalBlockSize,
    capabilities: { ...memory.capabilities, discard: false },
    submit,
    close: () => memory.close(),
  };
}

t.test('CheckedDevice refuses what a submitter must not send', async (t) => {
  const cases: [what: string, bio: Bio, message: RegExp][] = [
    ['nothing', makeBio({ op: 'read', count: 0 as SectorCount }), /range must lie inside/],
    ['beyond', makeBio({ op: 'read', sector: 60 as Sector }), /range must lie inside 64 sectors/],
    ['before', makeBio({ op: 'read', sector: -8 as Sector }), /range must lie inside/],
    ['unaligned', makeBio({ op: 'read', sector: 4 as Sector }), /not aligned to blocks of 4096/],
    ['short data', makeBio({ op: 'write', data: new Uint8Array(512) }), /data has 512 bytes/],
    ['no data', makeBio({ op: 'write', data: null }), /data has no bytes/],
    ['discard', makeBio({ op: 'discard' }), /does not discard/],
    ['fua read', makeBio({ op: 'read', fua: true }), /only what changes a device has fua/],
    ['flush', makeBio({ op: 'flush', count: 8 as SectorCount }), /neither position nor data/],
  ];
  for (const [what, bio, message] of cases) {
    const device = new CheckedDevice(deviceThat(() => t.fail('reached the device')));
    t.throws(() => device.submit(bio), message, what);
  }
});

t.test('CheckedDevice refuses a bio that is in flight already, and any after close', async (t) => {
  const device = new CheckedDevice(deviceThat(() => {}));
  const bio = makeBio({ op: 'read' });
  device.submit(bio);
  t.equal(device.inFlightCount, 1);
  t.throws(() => device.submit(bio), /in flight already/);
  t.throws(() => device.close(), /1 bios of "odd" at close/);
  const closed = new CheckedDevice(deviceThat(() => {}));
  await closed.close();
  t.throws(() => closed.submit(makeBio({ op: 'read' })), /after close/);
  t.throws(() => closed.close(), /closed twice/);
});

t.test('CheckedDevice notices a device that ends a bio twice, or without a result', async (t) => {
  const twice = new CheckedDevice(
    deviceThat((bio) => {
      bio.end(OK);
      bio.end(OK);
    }),
  );
  t.throws(() => twice.submit(makeBio({ op: 'read' })), /ended twice/);
  const odd = new CheckedDevice(deviceThat((bio) => bio.end(-EIO)));
  t.throws(() => odd.submit(makeBio({ op: 'read' })), /must be 0 or an errno/);
});

t.test('CheckedDevice notices who changes a bio or its data in flight', async (t) => {
  let held: Bio | null = null;
  const device = new CheckedDevice(
    deviceThat((bio) => (held = bio)),
    { checksums: true },
  );
  const written = makeBio({ op: 'write' });
  device.submit(written);
  written.data![100] = 1;
  t.throws(() => held!.end(OK), /data was changed in flight/);
  const moved = makeBio({ op: 'read' });
  device.submit(moved);
  moved.sector = 8 as Sector;
  t.throws(() => held!.end(OK), /was changed in flight/);
});

t.test('CheckedDevice passes on results and details', async (t) => {
  const device = new CheckedDevice(deviceThat((bio) => bio.fail(EIO, 'broken')));
  const results: number[] = [];
  const bio = makeBio({ op: 'read', onEnd: (_bio, result) => results.push(result) });
  device.submit(bio);
  t.strictSame(results, [EIO]);
  t.equal(bio.detail, 'broken');
  t.equal(device.inFlightCount, 0);
});
