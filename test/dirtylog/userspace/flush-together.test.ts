/** What is said to a log server of ours at a flush, and what need not be. */

import t, { type Test } from 'tap';
import { EIO, ESRCH } from '../../../src/base/errno.ts';
import { type Region, toRegion } from '../../../src/base/units.ts';
import type { DirtyLog } from '../../../src/dirtylog/dirty-log.ts';
import * as payloads from '../../../src/dirtylog/userspace/ulog-payloads.ts';
import { asInTable } from '../../../src/dm/device-naming.ts';
import { FakeLegs, FakeTarget } from '../../support/log-fixture.ts';
import { REGION_SIZE, ScriptedLogServer } from '../../support/scripted-log-server.ts';

const REGIONS = 100;

interface Stage {
  readonly server: ScriptedLogServer;
  readonly target: FakeTarget;
  readonly legs: FakeLegs;
  readonly log: DirtyLog;
}

/** All regions are in sync, and the mirror knows it. */
async function start(implementation = 'core'): Promise<Stage> {
  const server = new ScriptedLogServer();
  const target = new FakeTarget(REGIONS * REGION_SIZE);
  target.clock = server.clock;
  const legs = new FakeLegs();
  const args = ['log-0', implementation, String(REGION_SIZE)];
  const log = await server.until(server.type.create({ target, args, flushLegs: legs.flush }));
  await server.until(log.resume() as Promise<number>);
  server.answer = ({ requestType }) =>
    requestType === payloads.ULOG_GET_SYNC_COUNT
      ? { data: payloads.encodeCount(REGIONS) }
      : undefined;
  await server.until(Promise.resolve(log.getSyncCount()));
  server.takeLines();
  return { server, target, legs, log };
}

async function mark({ server, log }: Stage, ...regions: number[]): Promise<number> {
  for (const region of regions) log.markRegion(toRegion(region));
  return server.until(Promise.resolve(log.flush()));
}

async function clear({ server, log }: Stage, ...regions: number[]): Promise<number> {
  for (const region of regions) log.clearRegion(toRegion(region));
  return server.until(Promise.resolve(log.flush()), 0);
}

t.test('marks and their flush go without waiting for answers between', async (t) => {
  const { server, log } = await start();
  server.answer = () => null;
  for (let region = 0; region < 40; region++) log.markRegion(toRegion(region));
  const flushed = Promise.resolve(log.flush());
  await server.advance(1);
  t.same(server.takeLines(), ['MARK_REGION 39..8', 'MARK_REGION 7..0', 'FLUSH']);
  server.answer = () => undefined;
  t.equal(await server.until(flushed), 0);
});

t.test('a clear waits; what is marked again meanwhile is marked still', async (t) => {
  const stage = await start();
  const { server, legs } = stage;
  t.equal(await mark(stage, 1, 2, 3), 0);
  server.takeLines();
  t.equal(await clear(stage, 1, 2, 3), 0);
  t.equal(legs.flushes, 1, 'the legs were flushed');
  await server.advance(99);
  t.equal(await mark(stage, 2), 0);
  t.same(server.takeLines(), [], 'neither is said');
  await server.advance(101);
  t.same(server.takeLines(), ['CLEAR_REGION 3 1', 'FLUSH'], 'the others are, within 200 ms');
  t.equal(await mark(stage, 1), 0);
  t.same(server.takeLines(), ['MARK_REGION 1', 'FLUSH']);
});

t.test('out of sync, a clear goes with the next marks, or soon', async (t) => {
  const stage = await start('disk');
  const { server, log } = stage;
  await mark(stage, 1, 2);
  for (const region of [1, 2]) {
    await server.until(Promise.resolve(log.setRegionSync(toRegion(region), false)));
  }
  server.takeLines();
  await clear(stage, 1);
  t.equal(await mark(stage, 7), 0);
  t.same(server.takeLines(), ['CLEAR_REGION 1', 'MARK_REGION 7', 'FLUSH']);
  await clear(stage, 2);
  await server.advance(5);
  t.same(server.takeLines(), ['CLEAR_REGION 2', 'FLUSH']);
});

t.test('whoever asks, suspends or removes finds every clear told', async (t) => {
  const stage = await start();
  const { server, log } = stage;
  await mark(stage, 1, 2);
  await clear(stage, 1);
  server.takeLines();
  await server.until(Promise.resolve(log.isClean(toRegion(1))));
  t.same(server.takeLines(), ['CLEAR_REGION 1', 'FLUSH', 'IS_CLEAN 1']);
  await clear(stage, 2);
  await server.until(log.postsuspend() as Promise<number>);
  t.same(server.takeLines(), ['CLEAR_REGION 2', 'FLUSH', 'POSTSUSPEND']);
});

t.test('a suspend does not wait for clears where the server has gone', async (t) => {
  const stage = await start();
  const { server, log } = stage;
  await mark(stage, 1);
  await clear(stage, 1);
  server.wire.cut();
  t.equal(await server.until(log.postsuspend() as Promise<number>, 10), ESRCH);
  server.wire.serve(server);
  server.takeLines();
  t.equal(await server.until(log.resume() as Promise<number>, 10_000), 0);
  t.equal(await mark(stage, 1), 0);
  const said = server.takeLines();
  t.ok(said.lastIndexOf('MARK_REGION 1') > said.lastIndexOf('CLEAR_REGION 1'), said.join(', '));
});

t.test(
  'a clear that waited for a server is overtaken by a mark, which is said again',
  async (t) => {
    const stage = await start();
    const { server, log } = stage;
    await mark(stage, 1);
    await clear(stage, 1);
    server.wire.cut();
    await server.advance(300);
    server.wire.serve(server);
    server.takeLines();
    // Tells the new server of the log, while the clear still sleeps.
    await server.until(Promise.resolve(log.status('info', asInTable)), 10);
    t.equal(await mark(stage, 1), 0);
    const said = server.takeLines();
    t.ok(said.includes('CLEAR_REGION 1'), said.join(', '));
    t.ok(said.lastIndexOf('MARK_REGION 1') > said.lastIndexOf('CLEAR_REGION 1'), said.join(', '));
  },
);

t.test('work is asked for when every clear is told: it comes with a mark', async (t) => {
  const { server, log, ...rest } = await start();
  const stage = { server, log, ...rest };
  await mark(stage, 1);
  await clear(stage, 1);
  await server.until(Promise.resolve(log.setRegionSync(toRegion(9), false)));
  server.wire.cut();
  server.wire.serve(server);
  await server.until(Promise.resolve(log.inSync(toRegion(9))));
  server.takeLines();
  await server.until(Promise.resolve(log.getResyncWork()));
  t.same(server.takeLines(), ['CLEAR_REGION 1', 'FLUSH', 'GET_RESYNC_WORK']);
});

t.test('a mark that was held before a suspend is not believed afterwards', async (t) => {
  const stage = await start();
  const { server, log } = stage;
  await mark(stage, 1);
  await server.until(log.postsuspend() as Promise<number>);
  await server.until(log.resume() as Promise<number>);
  await clear(stage, 1);
  server.takeLines();
  await mark(stage, 1);
  t.same(server.takeLines(), ['MARK_REGION 1', 'FLUSH']);
});

t.test('sent again after 15 s, all is said once more in turn before the flush ends', async (t) => {
  const { server, log } = await start();
  let lost = 0;
  server.answer = ({ requestType }) =>
    requestType === payloads.ULOG_MARK_REGION && lost++ === 0 ? null : undefined;
  log.markRegion(toRegion(1));
  const flushed = Promise.resolve(log.flush());
  let ended = false;
  void flushed.then(() => {
    ended = true;
  });
  await server.advance(14_999);
  t.same(server.takeLines(), ['MARK_REGION 1', 'FLUSH']);
  t.notOk(ended, 'the answer to FLUSH is not enough');
  t.equal(await server.until(flushed, 10), 0);
  t.same(server.takeLines(), ['MARK_REGION 1', 'MARK_REGION 1', 'FLUSH']);
});

t.test('a clear that is carried out late is followed by the mark of its region', async (t) => {
  const stage = await start();
  const { server, log } = stage;
  await mark(stage, 1);
  await clear(stage, 1);
  server.takeLines();
  server.answer = ({ requestType }) =>
    requestType === payloads.ULOG_CLEAR_REGION ? null : undefined;
  await server.advance(200);
  t.equal(server.takeLines()[0], 'CLEAR_REGION 1');
  log.markRegion(toRegion(1));
  const flushed = Promise.resolve(log.flush());
  await server.advance(10_000);
  server.answer = () => undefined;
  t.equal(await server.until(flushed), 0);
  const said = server.takeLines();
  t.ok(said.lastIndexOf('MARK_REGION 1') > said.lastIndexOf('CLEAR_REGION 1'), said.join(', '));
  t.equal(said.at(-1), 'FLUSH');
});

t.test("an error is asked for once more in the kernel's way, and is the outcome", async (t) => {
  const stage = await start();
  const { server, target } = stage;
  server.answer = ({ requestType }) =>
    requestType === payloads.ULOG_FLUSH ? { error: -EIO } : undefined;
  t.equal(await mark(stage, 1), EIO);
  t.equal(target.events, 1);
  t.same(server.takeLines(), ['MARK_REGION 1', 'FLUSH', 'MARK_REGION 1', 'FLUSH']);
  server.answer = () => undefined;
  await clear(stage, 1);
  await mark(stage, 1);
  t.same(server.takeLines(), ['MARK_REGION 1', 'FLUSH'], 'it does not count as held');
});

t.test('a server that comes back is told of what is marked, cleared or not', async (t) => {
  const stage = await start();
  const { server } = stage;
  await mark(stage, 1, 2);
  await clear(stage, 2);
  server.wire.cut();
  server.wire.serve(server);
  server.takeLines();
  t.equal(await mark(stage, 3), 0);
  const said = server.takeLines();
  t.same(said.slice(0, 4), ['CTR 800 core 8', 'RESUME', 'MARK_REGION 2 1 3', 'FLUSH']);
  await server.advance(200);
  t.same(server.takeLines(), ['CLEAR_REGION 2', 'FLUSH']);
});

t.test('what is known to be in sync is not asked', async (t) => {
  await testKnown(t, 'core', 1);
  await testKnown(t, 'mem', 2);
});

async function testKnown(t: Test, implementation: string, questions: number): Promise<void> {
  const { server, log } = await start(implementation);
  const ask = async (region: Region): Promise<void> => {
    t.equal(await server.until(Promise.resolve(log.inSync(region))), 1);
  };
  await ask(toRegion(4));
  const isOurs = implementation !== 'mem';
  t.same(server.takeLines(), isOurs ? [] : ['IN_SYNC 4'], 'all were said to be in sync');
  t.equal(log.inSyncNow(toRegion(4)), isOurs ? 1 : 'would-block');

  await server.until(Promise.resolve(log.setRegionSync(toRegion(4), false)));
  t.equal(log.inSyncNow(toRegion(4)), 'would-block', 'this one is not any more');
  server.takeLines();
  await ask(toRegion(4));
  await ask(toRegion(4));
  t.equal(server.takeLines().length, questions, 'one answer is enough where only we change it');

  server.wire.cut();
  server.wire.serve(server);
  await server.until(Promise.resolve(log.getSyncCount()));
  server.answer = () => undefined;
  await server.until(log.presuspend() as Promise<number>);
  await server.until(log.resume() as Promise<number>);
  server.takeLines();
  await ask(toRegion(5));
  t.same(server.takeLines(), ['IN_SYNC 5'], 'a resume forgets');
}
