import t, { type Test } from 'tap';
import { EAGAIN, EINVAL, EIO, ESRCH } from '../../../src/base/errno.ts';
import { type Region, toRegion } from '../../../src/base/units.ts';
import type { DirtyLog } from '../../../src/dirtylog/dirty-log.ts';
import * as payloads from '../../../src/dirtylog/userspace/ulog-payloads.ts';
import { asInTable } from '../../../src/dm/device-naming.ts';
import { FakeLegs, FakeTarget, LogDisk } from '../../support/log-fixture.ts';
import {
  type Answerer,
  REGION_SIZE,
  ScriptedLogServer,
} from '../../support/scripted-log-server.ts';

const REGIONS = 100;

interface Stage {
  readonly server: ScriptedLogServer;
  readonly target: FakeTarget;
  readonly legs: FakeLegs;
  readonly log: DirtyLog;
}

async function start(...flags: string[]): Promise<Stage> {
  const server = new ScriptedLogServer();
  const target = new FakeTarget(REGIONS * REGION_SIZE, [new LogDisk({ name: '254:64' })]);
  target.clock = server.clock;
  const legs = new FakeLegs();
  const args = ['log-0', ...flags, 'mem', String(REGION_SIZE)];
  const log = await server.until(server.type.create({ target, args, flushLegs: legs.flush }));
  await server.until(log.resume() as Promise<number>);
  server.takeLines();
  return { server, target, legs, log };
}

const flush = ({ server, log }: Stage): Promise<number> =>
  server.until(Promise.resolve(log.flush()));

t.test('marks and clears go in groups of 32, clears first, the newest first', async (t) => {
  const stage = await start();
  const { server, log, legs } = stage;
  for (let region = 0; region < 40; region++) log.markRegion(toRegion(region));
  log.clearRegion(toRegion(50));
  t.equal(await flush(stage), 0);
  t.same(server.takeLines(), ['CLEAR_REGION 50', 'MARK_REGION 39..8', 'MARK_REGION 7..0', 'FLUSH']);
  t.equal(legs.flushes, 1, 'the legs are flushed before a clear');
  t.equal(await flush(stage), 0);
  t.same(server.takeLines(), [], 'nothing to say, nothing said');
});

t.test('a group that is refused goes one by one, up to the first that is refused', async (t) => {
  const stage = await start();
  const { server, log, target } = stage;
  server.answer = ({ requestType, data }) =>
    requestType === payloads.ULOG_MARK_REGION && (data.length > 8 || data[0] === 1)
      ? { error: -EIO }
      : undefined;
  for (let region = 0; region < 4; region++) log.markRegion(toRegion(region));
  t.equal(await flush(stage), EIO);
  t.same(server.takeLines(), [
    'MARK_REGION 3 2 1 0',
    'MARK_REGION 3',
    'MARK_REGION 2',
    'MARK_REGION 1',
  ]);
  t.equal(target.events, 1, 'an event tells of it');
  t.equal(await flush(stage), 0, 'and it is forgotten');
});

t.test('a leg that cannot be flushed: nothing is called clean any more', async (t) => {
  const stage = await start();
  const { server, log, legs } = stage;
  legs.result = EIO;
  log.clearRegion(toRegion(1));
  t.equal(await flush(stage), 0);
  legs.result = 0;
  log.clearRegion(toRegion(2));
  log.markRegion(toRegion(3));
  t.equal(await flush(stage), 0);
  t.same(server.takeLines(), ['MARK_REGION 3', 'FLUSH']);
});

t.test('integrated_flush: marks in the flush, clears alone wait for 3 s', async (t) => {
  const stage = await start('integrated_flush');
  const { server, log } = stage;
  const clear = async (region: number): Promise<void> => {
    log.clearRegion(toRegion(region));
    t.equal(await flush(stage), 0);
    t.same(server.takeLines(), [`CLEAR_REGION ${region}`]);
  };
  for (let region = 0; region < 33; region++) log.markRegion(toRegion(region));
  t.equal(await flush(stage), 0);
  t.same(server.takeLines(), ['FLUSH 32..1', 'FLUSH 0']);

  await clear(1);
  await server.advance(2_999);
  t.same(server.takeLines(), []);
  await server.advance(1);
  t.same(server.takeLines(), ['FLUSH']);

  await clear(2);
  await clear(3);
  await server.advance(10_000);
  t.same(server.takeLines(), [], 'the second cancelled the first, as in the kernel');

  await clear(4);
  log.markRegion(toRegion(5));
  t.equal(await flush(stage), 0);
  await server.advance(10_000);
  t.same(server.takeLines(), ['FLUSH 5'], 'a flush with marks covers it');

  await clear(6);
  await server.until(log.postsuspend() as Promise<number>);
  t.same(server.takeLines(), ['FLUSH', 'POSTSUSPEND'], 'a suspend does not wait for it');
});

t.test('a delayed flush that fails raises an event', async (t) => {
  const stage = await start('integrated_flush');
  const { server, log, target } = stage;
  log.clearRegion(toRegion(1));
  await flush(stage);
  server.answer = () => ({ error: -EIO });
  await server.advance(3_000);
  t.equal(target.events, 1);
});

t.test(
  'remote recovery: asked four times a second by all logs together, up to the hint',
  async (t) => {
    const stage = await start();
    const { server, log, target, legs } = stage;
    const args = ['log-1', 'mem', String(REGION_SIZE)];
    const other = await server.until(server.type.create({ target, args, flushLegs: legs.flush }));
    await server.until(other.resume() as Promise<number>);
    server.takeLines();
    const ask = (one: DirtyLog, region: number): Promise<boolean> =>
      server.until(Promise.resolve(one.isRemoteRecovering!(toRegion(region))));
    server.answer = () => ({
      data: payloads.encodeRemoteRecovering({ recovering: true, inSyncHint: 5 }),
    });
    t.equal(await ask(log, 9), true);
    t.equal(await ask(log, 4), false, 'below the hint');
    t.equal(await ask(other, 4), true, 'too soon, and the hint is of another log');
    t.same(server.takeLines(), ['IS_REMOTE_RECOVERING 9']);
    await server.advance(250);
    server.answer = () => ({ error: -EIO });
    t.equal(await ask(other, 4), true, 'nobody knows');
    t.same(server.takeLines(), ['IS_REMOTE_RECOVERING 4']);

    server.answer = () => undefined;
    await server.until(Promise.resolve(log.resume()));
    server.takeLines();
    await server.advance(250);
    t.equal(await ask(log, 4), false);
    t.same(server.takeLines(), ['IS_REMOTE_RECOVERING 4'], 'a resume forgets the hint');
    server.answer = () => ({ data: payloads.encodeCount(REGIONS) });
    t.equal(await server.until(Promise.resolve(log.getSyncCount())), REGIONS);
    server.takeLines();
    t.equal(await server.until(Promise.resolve(log.getResyncWork())), null);
    t.equal(await ask(log, REGIONS - 1), false);
    t.same(server.takeLines(), [], 'with all in sync nothing is asked any more');
  },
);

t.test(
  'no answer: sent again after 15 s with another seq, for ever; late replies are lost',
  async (t) => {
    const { server, log } = await start();
    let answered = 0;
    server.answer = () => (answered++ < 3 ? null : { data: payloads.encodeFlag(false) });
    server.seqs.length = 0;
    const asked = Promise.resolve(log.inSync(toRegion(1)));
    await server.advance(44_999);
    t.equal(server.lines.length, 3);
    t.equal(await server.until(asked, 10), 0);
    t.equal(new Set(server.seqs).size, 4);
  },
);

t.test('EAGAIN: sent again at once', async (t) => {
  const { server, log } = await start();
  let tries = 0;
  server.answer = () => (tries++ < 2 ? { error: -EAGAIN } : undefined);
  t.equal(await server.until(Promise.resolve(log.inSync(toRegion(1))), 10), 1);
  t.same(server.takeLines(), ['IN_SYNC 1', 'IN_SYNC 1', 'IN_SYNC 1']);
});

t.test('the server goes in the middle of a flush and comes back: marks are not lost', async (t) => {
  const stage = await start();
  const { server, log } = stage;
  log.markRegion(toRegion(1));
  t.equal(await flush(stage), 0);
  log.markRegion(toRegion(2));
  server.answer = ({ requestType }) => {
    if (requestType !== payloads.ULOG_FLUSH) return undefined;
    server.wire.cut();
    return null;
  };
  server.takeLines();
  const flushed = Promise.resolve(log.flush());
  await server.advance(60_000);
  t.same(server.takeLines(), ['MARK_REGION 2', 'FLUSH']);
  server.answer = () => undefined;
  server.wire.serve(server);
  t.equal(await server.until(flushed, 2_000), 0, 'it is looked for every two seconds');
  t.same(server.takeLines(), [...['CTR 800 mem 8', 'RESUME', 'MARK_REGION 1 2', 'FLUSH'], 'FLUSH']);
});

t.test(
  'a server that comes back and takes the log only later; one that does not resume it',
  async (t) => {
    const { server, log } = await start();
    server.wire.cut();
    let refusals = 2;
    server.answer = ({ requestType }) =>
      requestType === payloads.ULOG_CTR && refusals-- > 0 ? { error: -EINVAL } : undefined;
    const asked = Promise.resolve(log.inSync(toRegion(1)));
    server.wire.serve(server);
    t.equal(await server.until(asked, 6_100), 1);
    t.same(server.takeLines(), [
      'CTR 800 mem 8',
      'CTR 800 mem 8',
      'CTR 800 mem 8',
      'RESUME',
      'IN_SYNC 1',
    ]);

    server.wire.cut();
    server.wire.serve(server);
    server.answer = ({ requestType }) =>
      requestType === payloads.ULOG_RESUME ? { error: -EIO } : undefined;
    log.markRegion(toRegion(1));
    t.equal(await server.until(Promise.resolve(log.flush()), 10), ESRCH);
  },
);

t.test('without a server: whoever leaves just goes, and a status says what is wrong', async (t) => {
  const { server, log, target } = await start();
  server.wire.cut();
  t.equal(await server.until(Promise.resolve(log.getSyncCount()), 0), 0);
  t.equal(
    await server.until(Promise.resolve(log.status('info', asInTable)), 0),
    'userspace 1 COM_FAILURE',
  );
  t.equal(await server.until(Promise.resolve(log.presuspend()), 0), ESRCH);
  t.equal(await server.until(Promise.resolve(log.postsuspend()), 0), ESRCH);
  t.equal(await server.until(Promise.resolve(log.resume()), 0), ESRCH);
  server.wire.serve(server);
  server.takeLines();
  t.equal(await server.until(Promise.resolve(log.resume()), 10), 0);
  t.same(server.takeLines(), ['CTR 800 mem 8', 'RESUME']);
  await server.until(Promise.resolve(log.postsuspend()), 10);
  server.wire.cut();
  server.wire.serve(server);
  server.takeLines();
  t.equal(await server.until(Promise.resolve(log.status('info', asInTable)), 10), '1 mem');
  t.same(server.takeLines(), ['CTR 800 mem 8', 'STATUS_INFO'], 'a suspended log is not resumed');
  server.answer = () => null;
  const late = Promise.resolve(log.status('info', asInTable));
  t.equal(await server.until(late, 3000), 'userspace 1 COM_FAILURE');
  server.wire.cut();
  await server.until(log.destroy(), 0);
  t.equal(target.heldCount, 0);
});

t.test(
  'answers that cannot be believed mean: not in sync, no work, not clean, being copied',
  async (t) => {
    await testUnbelievable(t, () => ({ error: -EIO }));
    await testUnbelievable(t, () => ({ data: new Uint8Array(3) }));
    await testUnbelievable(t, () => ({ data: new Uint8Array(40) }));
    await testUnbelievable(t, () => ({ uuid: 'log-1' }));
    await testUnbelievable(t, () => ({ version: 2 }));
    await testUnbelievable(t, () => ({ error: 5 }));
  },
);

async function testUnbelievable(t: Test, answer: Answerer): Promise<void> {
  const { server, log, target } = await start();
  server.answer = answer;
  const ask = <T>(value: T | Promise<T>): Promise<T> => server.until(Promise.resolve(value), 10);
  t.equal(await ask(log.inSync(toRegion(1))), 0);
  t.equal(await ask(log.isClean(toRegion(1))), false);
  t.equal(await ask(log.getSyncCount()), 0);
  t.equal(await ask(log.getResyncWork()), null);
  t.equal(await ask(log.isRemoteRecovering!(toRegion(1))), true);
  log.markRegion(toRegion(1));
  const result = await ask(log.flush());
  // A mark has no data in its answer: what has some has too much.
  t.not(result, 0);
  t.equal(target.events, 1);
}

t.test('a region that the log does not have is no work', async (t) => {
  const { server, log, target } = await start();
  server.answer = () => ({ data: payloads.encodeResyncWork(REGIONS as Region) });
  t.equal(await server.until(Promise.resolve(log.getResyncWork())), null);
  t.match(target.lines.at(-1)?.message, /region 100, must be below 100/);
});
