import t, { type Test } from 'tap';
import { EIO, type IoResult, OK } from '../../../src/base/errno.ts';
import { Prng } from '../../../src/base/prng.ts';
import { SECTOR_SIZE, toSector, toSectorCount } from '../../../src/base/units.ts';
import { Bio, type BioOp } from '../../../src/block/bio.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { CheckedDevice } from '../../../src/block/checked-device.ts';
import { BlockHistory } from '../../support/block-history.ts';
import { byEffort } from '../../support/effort.ts';
import { RemoteMachine } from '../../support/remote-machine.ts';

const SECTORS = 64;
const ROUNDS = byEffort({ quick: 20, standard: 200, full: 5000 });
const SEED = Number(process.env.TEST_SEED ?? 1);

function submit(
  device: BlockDevice,
  op: BioOp,
  place: { sector?: number; count?: number; data?: Uint8Array | null; fua?: boolean },
  onEnd: (result: IoResult, detail: string | null) => void,
): void {
  device.submit(
    new Bio({
      op,
      sector: toSector(place.sector ?? 0),
      count: toSectorCount(place.count ?? 0),
      data: place.data ?? null,
      fua: place.fua ?? false,
      onEnd: (bio, result) => onEnd(result, bio.detail),
    }),
  );
}

/** A client that never waits for one request before the next, and judges all that it reads. */
class Load {
  readonly #device: BlockDevice;
  readonly #prng: Prng;
  readonly history = new BlockHistory(SECTORS);
  readonly complaints: string[] = [];
  inFlight = 0;
  ended = 0;

  constructor(device: BlockDevice, prng: Prng) {
    this.#device = device;
    this.#prng = prng;
  }

  one(): void {
    const prng = this.#prng;
    const count = prng.between(1, 6);
    const sector = prng.between(0, SECTORS - count);
    const op = prng.pick(['read', 'write', 'write', 'flush'] as const);
    this.inFlight += 1;
    if (op === 'flush') {
      this.#submit('flush', {}, () => {});
    } else if (op === 'write') {
      const { data, ended } = this.history.write(sector, count);
      this.#submit('write', { sector, count, data, fua: prng.chance(1, 6) }, ended);
    } else {
      const judge = this.history.read(sector, count);
      const data = new Uint8Array(count * SECTOR_SIZE);
      this.#submit('read', { sector, count, data }, () => this.complaints.push(...judge(data)));
    }
  }

  #submit(op: BioOp, place: Parameters<typeof submit>[2], onOk: () => void): void {
    submit(this.#device, op, place, (result, detail) => {
      this.inFlight -= 1;
      this.ended += 1;
      if (result === OK) onOk();
      else this.complaints.push(`${op} failed: ${detail}`);
    });
  }
}

t.test('a reconnecting device survives power cuts, kills and broken wires', async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const seed = SEED + round;
    const prng = new Prng(`remote ${seed}`);
    const remote = new RemoteMachine({
      sectors: SECTORS,
      prng,
      connections: prng.between(1, 3),
      unflushedBytesMax: prng.pick([6000, 60_000, 2 ** 26]),
    });
    const device = await remote.open();
    const load = new Load(new CheckedDevice(device, { checksums: true }), prng);
    for (let accident = 0; accident < 5; accident++) {
      for (let step = prng.between(1, 60); step > 0; step--) {
        for (let ops = prng.between(0, 4); ops > 0; ops--) load.one();
        await remote.pass(prng.between(0, 3));
      }
      const kind = prng.pick(['power', 'power', 'kill', 'wires'] as const);
      if (kind === 'wires') remote.cutWires();
      else if (kind === 'kill') remote.kill();
      else await remote.cutPower();
      for (let ops = prng.between(0, 4); ops > 0; ops--) load.one();
      await remote.pass(prng.between(5, 2000));
      if (kind !== 'wires') remote.boot();
    }
    await remote.until('everything ends', () => load.inFlight === 0);
    let flushed = false;
    submit(device, 'flush', {}, (result) => {
      flushed = result === OK;
    });
    await remote.until('the flush', () => flushed);
    t.equal(device.unflushedBytes, 0);
    await remote.cutPower();
    load.complaints.push(...load.history.judgeMedium(remote.medium.bytes));
    if (load.complaints.length > 0) {
      t.strictSame(load.complaints, [], `again: TEST_SEED=${seed}`);
      return;
    }
    void device.close();
    await remote.pass(3000);
    t.equal(remote.clock.pending, 0, 'no timer is left');
  }
});

t.test('without a reconnect delay a lost connection is the end', async (t) => {
  const prng = new Prng('offline');
  const remote = new RemoteMachine({ sectors: SECTORS, prng, reconnectMs: 0 });
  const device = await remote.open();
  const results: string[] = [];
  const note = (what: string) => (result: IoResult, detail: string | null) => {
    results.push(`${what} ${result} ${detail}`);
  };
  const data = new Uint8Array(SECTOR_SIZE);
  submit(device, 'write', { count: 1, data }, note('write'));
  submit(device, 'flush', {}, note('flush'));
  remote.kill();
  await remote.pass(1);
  remote.boot();
  await remote.pass(100);
  submit(device, 'read', { count: 1, data }, note('read'));
  const failed = `${EIO} "nbd://remote/data" has failed: Connection was lost`;
  t.strictSame(results, [`write ${failed}`, `flush ${failed}`, `read ${failed}`]);
  t.equal(device.hasFailed, true);
  await device.close();
});

async function lostFor(
  t: Test,
  what: (remote: RemoteMachine) => void,
): Promise<{ detail: string | null; hasFailed: boolean }> {
  const prng = new Prng('permanent');
  const remote = new RemoteMachine({ sectors: SECTORS, prng, reconnectMs: 5000 });
  const device = await remote.open();
  remote.kill();
  let ended: string | null | undefined;
  const data = new Uint8Array(SECTOR_SIZE);
  submit(device, 'write', { count: 1, data }, (result, detail) => {
    t.equal(result, EIO);
    ended = detail;
  });
  await remote.pass(10);
  what(remote);
  await remote.until('the failure', () => ended !== undefined);
  await device.close();
  // The server's own, for clients that have left it in the handshake.
  await remote.pass(15_000);
  t.equal(remote.clock.pending, 0, 'no timer is left');
  return { detail: ended ?? null, hasFailed: device.hasFailed };
}

t.test('what comes back must be what went', async (t) => {
  const tooLate = await lostFor(t, () => {});
  t.match(tooLate.detail, /ECONNREFUSED; no connection within 5 s/);
  t.ok(tooLate.hasFailed);
  const smaller = await lostFor(t, (remote) => {
    remote.resize(SECTORS / 2);
    remote.boot();
  });
  t.match(smaller.detail, /another export: its size is 16384 bytes, must be 32768 as before/);
  const renamed = await lostFor(t, (remote) => {
    remote.rename('other');
    remote.boot();
  });
  t.match(renamed.detail, /refused GO: ERR_UNKNOWN .*; no connection within 5 s/);
});

t.test('nobody waits before a stop for a server that answers nothing', async (t) => {
  const prng = new Prng('silence');
  const remote = new RemoteMachine({ sectors: SECTORS, prng, diskMs: 1_000_000 });
  const device = await remote.open();
  let ended: string | null | undefined;
  const data = new Uint8Array(SECTOR_SIZE);
  submit(device, 'write', { count: 1, data }, (result, detail) => {
    t.equal(result, EIO);
    ended = detail;
  });
  await remote.pass(15_000);
  t.equal(ended, undefined, 'as long as nobody wants to stop, it is waited for');
  device.stopWaiting();
  await remote.pass(9_000);
  t.equal(ended, undefined);
  await remote.pass(1_100);
  t.match(ended, /does not answer/);
  await device.close();
});

t.test('a stop waits for a server that is slow', async (t) => {
  const prng = new Prng('slow');
  const remote = new RemoteMachine({ sectors: SECTORS, prng });
  const device = await remote.open();
  device.stopWaiting();
  const data = new Uint8Array(SECTOR_SIZE);
  let count = 0;
  for (let round = 0; round < 30; round++) {
    submit(device, 'write', { count: 1, data }, (result) => {
      t.equal(result, 0);
      count += 1;
    });
    await remote.pass(999);
  }
  await remote.until('all', () => count === 30);
  const closed = device.close();
  await remote.pass(10);
  await closed;
});

t.test('with a timeout one request that waits for too long is the end', async (t) => {
  const prng = new Prng('timeout');
  // Answers come within 6 s, in any order.
  const remote = new RemoteMachine({ sectors: SECTORS, prng, diskMs: 6000, timeoutMs: 8000 });
  const device = await remote.open();
  const data = new Uint8Array(SECTOR_SIZE);
  const results: string[] = [];
  let asked = 0;
  for (let ms = 0; ms < 40_000; ms += 500) {
    const place = { sector: asked++ % SECTORS, count: 1, data };
    submit(device, 'read', place, (result) => results.push(`${result}`));
    await remote.pass(500);
  }
  remote.kill();
  await remote.pass(100);
  remote.boot();
  await remote.until('all', () => results.length === asked);
  t.strictSame(new Set(results), new Set(['0']), 'who is slow, busy or gone for a while may stay');

  remote.hang();
  let detail: string | null = null;
  submit(device, 'write', { count: 1, data }, (result, why) => {
    detail = `${result} ${why}`;
  });
  await remote.pass(7900);
  t.equal(detail, null);
  await remote.pass(2200);
  const reason = 'Server has not answered a request within 8 s';
  t.equal(detail, `${EIO} "nbd://remote/data" has failed: ${reason}`);
  t.ok(device.hasFailed);
  await device.close();
});

t.test('a request that ends every connection ends the device', async (t) => {
  const prng = new Prng('poison');
  const remote = new RemoteMachine({ sectors: SECTORS, prng, diskMs: 1_000_000 });
  const device = await remote.open();
  let detail: string | null = null;
  const data = new Uint8Array(SECTOR_SIZE);
  submit(device, 'read', { count: 1, data }, (result, why) => {
    detail = `${result} ${why}`;
  });
  for (let loss = 0; loss < 40 && detail === null; loss++) {
    remote.kill();
    await remote.pass(5);
    remote.boot();
    // Connected again, and the request sent again, but not answered yet.
    await remote.until('the request', () => remote.connections > 0 || detail !== null);
    await remote.pass(1);
  }
  t.match(detail, /^5 .*one request has ended 16 connections/);
  await device.close();
});

t.test('a device that is to stop waits for nobody', async (t) => {
  const remote = new RemoteMachine({ sectors: SECTORS, prng: new Prng('stop') });
  const device = await remote.open();
  remote.kill();
  await remote.pass(100);
  const results: IoResult[] = [];
  submit(device, 'flush', {}, (result) => results.push(result));
  t.strictSame(results, []);
  device.stopWaiting();
  t.strictSame(results, [EIO]);
  await device.close();
  t.equal(remote.clock.pending, 0);
});
