/** Requests that wait at the log server: what may pass them, and what comes of them at the end. */

import t from 'tap';
import { OK } from '../../src/base/errno.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { SectorCount } from '../../src/base/units.ts';
import type { LogClient } from '../../src/cluster/log-instance.ts';
import { LogServer } from '../../src/cluster/log-server.ts';
import { NO_ANSWER, type NoAnswer, type ServedLog } from '../../src/cluster/served-log.ts';
import type { UlogMessage } from '../../src/dirtylog/userspace/ulog-codec.ts';
import * as payloads from '../../src/dirtylog/userspace/ulog-payloads.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';

const PATIENCE_MS = 5000;

/** Stores nothing before it is told to. */
class SlowLog {
  isLive = false;
  isGone = false;
  /** What a resume, and leaving, wait for. */
  hold: Promise<void> = Promise.resolve();
  changing = 0;
  changingMost = 0;
  readonly waiting: ((result: number | NoAnswer) => void)[] = [];
  readonly served: ServedLog;

  constructor() {
    const later = () => new Promise<number | NoAnswer>((resolve) => this.waiting.push(resolve));
    const live = (isLive: boolean) => async () => {
      this.changing += 1;
      this.changingMost = Math.max(this.changingMost, this.changing);
      await this.hold;
      this.changing -= 1;
      this.isLive = isLive;
      return OK;
    };
    const rest: Partial<ServedLog> = {
      regionCount: 16,
      regionSizeSectors: 8 as SectorCount,
      deviceName: null,
      resume: live(true),
      markRegion: () => undefined,
      flush: later,
      setRegionSync: later,
      getSyncCount: () => 16,
      status: () => '1 slow',
      describe: () => ({}) as never,
      lease: () => ({ remainingMs: 0, epoch: 1 }),
      abandon: () => this.end(NO_ANSWER),
      orphaned: async () => void (await live(false)()),
      destroy: async () => {
        this.isGone = true;
      },
    };
    const isLive = () => this.isLive;
    this.served = Object.defineProperty(rest, 'isLive', { get: isLive }) as ServedLog;
  }

  end(result: number | NoAnswer): void {
    for (const resolve of this.waiting.splice(0)) resolve(result);
  }
}

class Bed {
  readonly clock = new VirtualClock();
  readonly log = new SlowLog();
  readonly answered: string[] = [];
  readonly server: LogServer;
  readonly client: LogClient;
  /** Creating one waits for this. */
  creation: Promise<void> = Promise.resolve();
  #seq = 0;

  constructor() {
    const { clock } = this;
    const create = async (): Promise<ServedLog> => {
      await this.creation;
      return this.log.served;
    };
    const implementation = { name: 'slow', create };
    this.server = new LogServer({
      implementations: [implementation],
      log: silentLogger,
      orphans: { clock, sharedAfterMs: PATIENCE_MS, localAfterMs: PATIENCE_MS },
    });
    this.client = this.connect();
  }

  connect(): LogClient {
    const reply = ({ requestType, error }: UlogMessage): void => {
      const name = payloads.ulogTypeName(requestType);
      this.answered.push(error === 0 ? name : `${name} ${error}`);
    };
    const client = { name: 'mirror', reply };
    this.server.connected(client);
    return client;
  }

  static async start(): Promise<Bed> {
    const bed = new Bed();
    await bed.ask({ type: payloads.ULOG_CTR, text: '128 slow' });
    await bed.ask({ type: payloads.ULOG_RESUME });
    bed.answered.splice(0);
    return bed;
  }

  async ask(request: payloads.UlogRequest, client = this.client, luid = 1n): Promise<void> {
    this.#seq += 1;
    this.server.handle(client, {
      luid,
      uuid: 'u',
      version: 3,
      error: 0,
      seq: this.#seq,
      requestType: request.type,
      data: payloads.encodeUlogRequest(request),
    });
    await this.pass(0);
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance({ ended: () => false, untilMs: this.clock.now() + ms });
  }
}

t.test('a question does not wait for marks, and no change is overtaken', async (t) => {
  const bed = await Bed.start();
  const { answered, log } = bed;
  await bed.ask({ type: payloads.ULOG_FLUSH, regions: [3 as never] });
  await bed.ask({ type: payloads.ULOG_STATUS_INFO });
  await bed.ask({ type: payloads.ULOG_GET_SYNC_COUNT });
  await bed.ask({ type: payloads.ULOG_LEASE });
  t.same(answered.splice(0), ['STATUS_INFO', 'GET_SYNC_COUNT', 'LEASE']);
  await bed.ask({ type: payloads.ULOG_SET_REGION_SYNC, region: 2 as never, inSync: false });
  await bed.ask({ type: payloads.ULOG_GET_SYNC_COUNT });
  t.same(answered, [], 'it would count a region that is out of sync');
  log.end(OK);
  await bed.pass(0);
  t.same(answered.splice(0), ['FLUSH']);
  log.end(OK);
  await bed.pass(0);
  t.same(answered, ['SET_REGION_SYNC', 'GET_SYNC_COUNT']);
});

t.test(
  'stopped, it answers nothing that waits, and begins nothing that waits behind',
  async (t) => {
    const bed = await Bed.start();
    const { answered, log } = bed;
    await bed.ask({ type: payloads.ULOG_FLUSH, regions: [3 as never] });
    await bed.ask({ type: payloads.ULOG_SET_REGION_SYNC, region: 2 as never, inSync: true });
    bed.server.disconnected(bed.client);
    await bed.server.stop();
    t.same(answered, []);
    t.same(log.waiting, []);
    t.ok(log.isGone);
    t.notOk(bed.clock.step(), 'no timer is left that would keep a process alive');
  },
);

t.test('a mirror that does not come back leaves nothing behind', async (t) => {
  const bed = await Bed.start();
  bed.server.disconnected(bed.client);
  await bed.pass(PATIENCE_MS - 1);
  t.equal((await bed.server.list()).length, 1);
  await bed.pass(1);
  t.same(await bed.server.list(), []);
  t.ok(bed.log.isGone, 'its device is closed');
});

t.test('a mirror that comes back while it is given up resumes a log that was left', async (t) => {
  const bed = await Bed.start();
  const { log, answered } = bed;
  let goOn = (): void => undefined;
  log.hold = new Promise((resolve) => {
    goOn = resolve;
  });
  bed.server.disconnected(bed.client);
  await bed.pass(PATIENCE_MS);
  const again = bed.connect();
  await bed.ask({ type: payloads.ULOG_CTR, text: '128 slow\0' }, again);
  await bed.ask({ type: payloads.ULOG_RESUME }, again);
  t.same(answered.splice(0), ['CTR'], 'what it had marked is being left');
  goOn();
  await bed.pass(0);
  t.same(answered, ['RESUME']);
  t.ok(log.isLive);
  t.equal(log.changingMost, 1, 'resumed after that, not meanwhile');
  t.match(await bed.server.list(), [{ state: 'resumed', isConnected: true }]);
});

t.test('of two mirrors that resume one log at once, one has it', async (t) => {
  const bed = new Bed();
  const other = bed.connect();
  await bed.ask({ type: payloads.ULOG_CTR, text: '128 slow' });
  await bed.ask({ type: payloads.ULOG_CTR, text: '128 slow' }, other, 2n);
  bed.answered.splice(0);
  let goOn = (): void => undefined;
  bed.log.hold = new Promise((resolve) => {
    goOn = resolve;
  });
  await bed.ask({ type: payloads.ULOG_RESUME });
  await bed.ask({ type: payloads.ULOG_RESUME }, other, 2n);
  t.same(bed.answered.splice(0), ['RESUME -16'], 'EBUSY');
  goOn();
  await bed.pass(0);
  t.same(bed.answered, ['RESUME']);
});

t.test('a log that is made for a mirror that has gone meanwhile is given up, too', async (t) => {
  const bed = new Bed();
  let goOn = (): void => undefined;
  bed.creation = new Promise((resolve) => {
    goOn = resolve;
  });
  await bed.ask({ type: payloads.ULOG_CTR, text: '128 slow' });
  bed.server.disconnected(bed.client);
  goOn();
  await bed.pass(PATIENCE_MS);
  t.same(await bed.server.list(), []);
  t.ok(bed.log.isGone);
});
