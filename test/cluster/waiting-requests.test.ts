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
import { VirtualClock } from '../../src/sim/virtual-clock.ts';

const PATIENCE_MS = 5000;

/** Stores nothing before it is told to. */
class SlowLog {
  isLive = false;
  isGone = false;
  readonly waiting: ((result: number | NoAnswer) => void)[] = [];
  readonly served: ServedLog;

  constructor() {
    const later = () => new Promise<number | NoAnswer>((resolve) => this.waiting.push(resolve));
    const live = (isLive: boolean) => () => {
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
      orphaned: async () => void live(false)(),
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
  #seq = 0;

  constructor() {
    const { clock } = this;
    const implementation = { name: 'slow', create: async () => this.log.served };
    this.server = new LogServer({
      implementations: [implementation],
      log: silentLogger,
      orphans: { clock, afterMs: PATIENCE_MS },
    });
    const reply = ({ requestType, error }: UlogMessage): void => {
      const name = payloads.ulogTypeName(requestType);
      this.answered.push(error === 0 ? name : `${name} ${error}`);
    };
    this.client = { name: 'mirror', reply };
    this.server.connected(this.client);
  }

  static async start(): Promise<Bed> {
    const bed = new Bed();
    await bed.ask({ type: payloads.ULOG_CTR, text: '128 slow' });
    await bed.ask({ type: payloads.ULOG_RESUME });
    bed.answered.splice(0);
    return bed;
  }

  async ask(request: payloads.UlogRequest): Promise<void> {
    this.#seq += 1;
    this.server.handle(this.client, {
      luid: 1n,
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
