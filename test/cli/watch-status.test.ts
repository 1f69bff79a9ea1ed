/** The live view: what it makes of two looks, and how it is drawn on a terminal. */

import t from 'tap';
import { describeLook, type Look, type WatchedDevice } from '../../src/cli/watch-status.ts';
import { ControlRig, runCommandLine } from '../support/control-rig.ts';

/** A mirror of 100 regions of 512 KiB, so many of them out of sync, after so many requests. */
function device(nosync: number, requests: number): WatchedDevice {
  return {
    ...{ name: 'data', uuid: '', number: '253:0', suspended: false, readOnly: false },
    ...{ liveTable: true, inactiveTable: true, openCount: 2, clients: 2, eventNumber: 3 },
    ...{ targetCount: 1, sizeSectors: 102_400, deferredRemove: false, uses: [], usedBy: [] },
    requests: {
      ...{ inFlight: 4, deferred: 5, reads: requests, readSectors: requests * 8 },
      ...{ writes: requests * 2, writtenSectors: requests * 2 * 8 },
    },
    targets: [
      {
        ...{ start: 0, length: 102_400, type: 'mirror', line: '' },
        details: {
          ...{ regionSectors: 1024, regionCount: 100, heldWrites: 6 },
          regions: { clean: 99 - nosync, dirty: 0, recovering: 1, nosync },
          legs: [
            { name: 'a.img', health: 'A', errors: 0, isDefault: true },
            { name: 'b.img', health: 'D', errors: 7, isDefault: false },
          ],
          losses: { degradedWrites: 8, unloggedWrites: 0 },
        },
      },
    ],
  };
}

t.test('describeLook() tells sync, legs, held writes and losses, and rates since before', (t) => {
  const before: Look = { atMs: 1000, devices: [device(69, 100)] };
  const look: Look = { atMs: 3000, devices: [device(49, 300)] };
  t.same(describeLook(look, before), [
    'data (253:0) 50 MiB, active, table loaded, 2 clients, event 3',
    '  reads 100/s 400 KiB/s, writes 200/s 800 KiB/s; in flight 4, waiting 5',
    '  0+102400 mirror [###############...............] 50/100 in sync, 5 MiB/s',
    '    regions clean 50, dirty 0, recovering 1, nosync 49; held writes 6',
    '    leg a.img A (primary)',
    '    leg b.img D, 7 errors',
    '    at a loss: degradedWrites 8',
  ]);
  const anew: Look = { atMs: 3000, devices: [{ ...device(49, 3), name: 'other' }] };
  t.match(describeLook(anew, before)[1], 'reads -/s -/s', 'another device has no past');
  t.same(describeLook({ atMs: 0, devices: [] }, null), ['No devices found']);
  t.end();
});

t.test('On a terminal each look is drawn over the one before', async (t) => {
  const rig = await ControlRig.start(t, { table: '0 8 zero', name: 'data' });
  const words = ['status', '--watch', '--count', '2', '--interval', '0.01'];
  const environment = { NBD_MIRROR_CONTROL: rig.socket };
  const { out } = await runCommandLine(words, environment, { isTerminal: true });
  const looks = out.split('\x1b[H\x1b[J').slice(1);
  t.equal(looks.length, 2);
  for (const look of looks)
    t.match(look, /^data \(253:0\) 4 KiB, active, .*\n.*\n {2}0\+8 zero\n$/);
});
