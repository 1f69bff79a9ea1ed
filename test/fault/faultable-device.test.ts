import t from 'tap';
import { EIO, errnoName } from '../../src/base/errno.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../../src/base/units.ts';
import { Bio, type BioOp } from '../../src/block/bio.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { FaultBoard } from '../../src/fault/fault-board.ts';
import { parseFaultSpec } from '../../src/fault/fault-spec.ts';
import type { FaultableDevice } from '../../src/fault/faultable-device.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';
import { blockDeviceConformance } from '../conformance/block-device-conformance.ts';

const SECTORS = 64;

function rig() {
  const clock = new VirtualClock();
  const board = new FaultBoard(clock);
  const memory = new MemoryDevice({ name: 'disk', sizeSectors: SECTORS });
  const device = board.wrap('disk', memory);
  const ended: string[] = [];
  const send = (op: BioOp, sector = 0, to: BlockDevice = device): void => {
    const isFlush = op === 'flush';
    to.submit(
      new Bio({
        op,
        sector: toSector(isFlush ? 0 : sector),
        count: toSectorCount(isFlush ? 0 : 1),
        data: op === 'read' || op === 'write' ? new Uint8Array(SECTOR_SIZE).fill(7) : null,
        fua: false,
        onEnd: (bio, result) => {
          const detail = bio.detail === null ? '' : ` (${bio.detail})`;
          ended.push(`${op} ${sector} ${errnoName(result)}${detail}`);
        },
      }),
    );
  };
  const arm = (text: string, area = { start: 0, length: SECTORS }, underlying = device) =>
    board.arm(
      { device: 'data', target: 'leg0', underlying, area },
      parseFaultSpec(text.split(' ')),
    );
  const taken = (): string[] => ended.splice(0);
  return { clock, board, memory, device, send, arm, taken };
}

const wrapped = (arm: (device: FaultableDevice, board: FaultBoard) => void) => {
  return async (sizeSectors: number) => {
    const board = new FaultBoard(new VirtualClock());
    const device = board.wrap('x', new MemoryDevice({ sizeSectors }));
    arm(device, board);
    return { device };
  };
};

t.test('FaultableDevice, with nothing armed', async (t) => {
  blockDeviceConformance(
    t,
    wrapped(() => {}),
  );
});

t.test('FaultableDevice, with a fault that strikes elsewhere', async (t) => {
  blockDeviceConformance(
    t,
    wrapped((underlying, board) => {
      const area = { start: 1e9, length: 8 };
      const place = { device: 'd', target: 't', underlying, area };
      board.arm(place, parseFaultSpec(['error', '--op', 'write']));
    }),
  );
});

t.test('an error strikes as often and where it was told, and counts', async (t) => {
  const { send, arm, taken, device, board } = rig();
  const fault = arm('error --op write --count 2 --after 1 --errno ENOSPC', {
    start: 8,
    length: 8,
  });
  for (const sector of [0, 8, 15, 16, 9, 10]) send('write', sector);
  send('read', 8);
  t.strictSame(taken(), [
    'write 0 OK',
    'write 8 OK',
    'write 15 ENOSPC (injected error on write)',
    'write 16 OK',
    'write 9 ENOSPC (injected error on write)',
    'write 10 OK',
    'read 8 OK',
  ]);
  t.match(fault, { fired: 2, matched: 3, armed: false });
  t.notOk(device.faults.active, 'a spent fault costs nothing');
  t.strictSame(board.list(), [fault], 'and is still listed');
});

t.test('the fault that was armed first decides', async (t) => {
  const { send, arm, taken, board } = rig();
  const first = arm('error --op read --errno EROFS');
  const second = arm('offline');
  send('read');
  send('flush');
  t.strictSame(taken(), [
    'read 0 EROFS (injected error on read)',
    'flush 0 EIO (injected offline on flush)',
  ]);
  board.remove(first);
  send('read');
  board.remove(second);
  send('read');
  t.strictSame(taken(), ['read 0 EIO (injected offline on read)', 'read 0 OK']);
});

t.test('faults with a probability are the same for the same seed', async (t) => {
  const run = (seed: number): string[] => {
    const { send, arm, taken } = rig();
    arm(`error --probability 0.5 --seed ${seed}`);
    for (let sector = 0; sector < 32; sector++) send('read', sector);
    return taken();
  };
  t.strictSame(run(3), run(3));
  t.notSame(run(3), run(4));
  const failures = run(3).filter((line) => line.includes('EIO')).length;
  t.ok(failures > 4 && failures < 28, `${failures} of 32 failed`);
});

t.test('a delay holds requests back, and lets others overtake', async (t) => {
  const { clock, send, arm, taken } = rig();
  arm('delay --ms 50 --op write');
  send('write', 1);
  send('read', 2);
  t.strictSame(taken(), ['read 2 OK']);
  await clock.advance({ ended: () => false, untilMs: 49 });
  t.strictSame(taken(), []);
  await clock.advance({ ended: () => false, untilMs: 50 });
  t.strictSame(taken(), ['write 1 OK']);
});

t.test('what a delay holds back goes on when the fault is removed, or fails', async (t) => {
  const { clock, send, arm, taken, board } = rig();
  const fault = arm('delay --ms 3600000 --op write');
  send('write', 1);
  send('write', 2);
  t.equal(fault.held, 2);
  board.remove(fault);
  t.strictSame(taken(), ['write 1 OK', 'write 2 OK']);
  t.equal(fault.held, 0);

  const other = arm('delay --ms 3600000');
  send('flush');
  board.remove(other, EIO);
  t.strictSame(taken(), ['flush 0 EIO (held until it was given up: EIO)']);

  arm('delay --ms 3600000');
  send('read', 1);
  board.releaseHeld();
  t.strictSame(taken(), ['read 1 OK'], 'a stop does not wait for it');
  await clock.advance({ ended: () => false, untilMs: 4_000_000 });
  t.strictSame(taken(), [], 'nothing goes twice');
});

t.test('what hangs goes on when the fault is removed, or fails', async (t) => {
  const { send, arm, taken, board, memory } = rig();
  const fault = arm('hang --op write');
  send('write', 1);
  send('write', 2);
  send('read', 1);
  t.strictSame(taken(), ['read 1 OK']);
  t.equal(fault.held, 2);
  t.equal(memory.bytes[SECTOR_SIZE], 0, 'the device has not seen it');
  board.remove(fault);
  t.strictSame(taken(), ['write 1 OK', 'write 2 OK']);
  t.equal(memory.bytes[SECTOR_SIZE], 7);

  const other = arm('hang');
  send('flush');
  board.remove(other, EIO);
  t.strictSame(taken(), ['flush 0 EIO (held until it was given up: EIO)']);
});

t.test('what hung meets the faults that are there when it goes on', async (t) => {
  const { send, arm, taken, board } = rig();
  arm('hang --count 1');
  send('write', 1);
  arm('offline');
  t.strictSame(taken(), []);
  board.releaseHeld();
  t.match(taken(), [/write 1 EIO/]);
  t.equal(board.list().length, 1);
});

t.test('faults stay with the thing when it is closed and opened again', async (t) => {
  const { send, arm, taken, board, memory, device } = rig();
  arm('offline');
  await device.close();
  const again = board.wrap('disk', memory);
  send('read', 1, again);
  send('read', 1, board.wrap('another', memory));
  t.match(taken(), [/read 1 EIO/, /read 1 OK/]);
});

t.test('FaultBoard arms nothing that it refuses', async (t) => {
  const { arm, board, device, send, taken } = rig();
  t.throws(() => arm('error --sectors 8-64'), { code: 'bad-fault' });
  t.strictSame(board.list(), []);
  t.notOk(device.faults.active);
  for (let count = 0; count < 1000; count++) arm('error --op discard');
  t.throws(() => arm('offline'), { code: 'too-many-faults' });
  send('read');
  t.strictSame(taken(), ['read 0 OK']);
});
