import t from 'tap';
import { EIO, OK } from '../../src/base/errno.ts';
import { isAllowed, Oracle } from '../../src/sim/oracle.ts';

function write(oracle: Oracle, sector: number, count = 1, fua = false): number {
  return oracle.writeSubmitted({ sector, count, fua });
}

function flush(oracle: Oracle): void {
  oracle.flushEnded(oracle.flushSubmitted(), OK);
}

t.test(
  'Oracle.afterPowerCut() allows old and new until a flush that began later ended',
  async (t) => {
    const oracle = new Oracle(1);
    const id = write(oracle, 0);
    t.same(oracle.afterPowerCut()[0]!.ids, [0, id], 'in flight');
    const early = oracle.flushSubmitted();
    oracle.ended(id, OK);
    oracle.flushEnded(early, OK);
    t.same(
      oracle.afterPowerCut()[0]!.ids,
      [0, id],
      'the flush was submitted before the write ended',
    );
    const failing = oracle.flushSubmitted();
    oracle.flushEnded(failing, EIO);
    t.same(oracle.afterPowerCut()[0]!.ids, [0, id], 'the flush failed');
    flush(oracle);
    t.same(oracle.afterPowerCut()[0]!.ids, [id]);
  },
);

t.test(
  'Oracle.afterPowerCut() takes FUA writes as durable in their own sectors only',
  async (t) => {
    const oracle = new Oracle(3);
    const plain = write(oracle, 0, 3);
    oracle.ended(plain, OK);
    const fua = write(oracle, 1, 1, true);
    t.same(oracle.afterPowerCut()[1]!.ids, [0, plain, fua], 'not acknowledged');
    oracle.ended(fua, OK);
    t.same(
      oracle.afterPowerCut().map(({ ids }) => ids),
      [[0, plain], [fua], [0, plain]],
    );
  },
);

t.test(
  'Oracle.afterPowerCut() allows either of two writes that were in flight together',
  async (t) => {
    const oracle = new Oracle(1);
    const first = write(oracle, 0);
    const second = write(oracle, 0);
    oracle.ended(second, OK);
    oracle.ended(first, OK);
    flush(oracle);
    t.same(oracle.afterPowerCut()[0]!.ids, [first, second]);
    const third = write(oracle, 0, 1, true);
    oracle.ended(third, OK);
    t.same(oracle.afterPowerCut()[0]!.ids, [third]);
  },
);

t.test('Oracle.afterPowerCut() never takes a failed write as durable, nor as undone', async (t) => {
  const oracle = new Oracle(1);
  const failed = write(oracle, 0, 1, true);
  oracle.ended(failed, EIO);
  flush(oracle);
  t.same(oracle.afterPowerCut()[0]!.ids, [0, failed]);
  const good = write(oracle, 0);
  oracle.ended(good, OK);
  flush(oracle);
  t.same(oracle.afterPowerCut()[0]!.ids, [good]);
});

t.test('Oracle.allowedSince() knows what had ended before a read began', async (t) => {
  const oracle = new Oracle(1);
  const early = oracle.readSubmitted();
  const id = write(oracle, 0, 1, true);
  t.same(oracle.allowedSince(early, 0).ids, [0, id], 'a read that is older than the write');
  oracle.ended(id, OK);
  t.same(oracle.allowedSince(early, 0).ids, [0, id], 'the write ended while it was under way');
  t.same(oracle.allowedSince(oracle.readSubmitted(), 0).ids, [id], 'a read that began afterwards');
});

t.test(
  'Oracle: a discard allows anything that was ever written there, but nothing foreign',
  async (t) => {
    const oracle = new Oracle(2);
    oracle.ended(oracle.discardSubmitted({ sector: 0, count: 1 }), OK);
    const allowed = oracle.afterPowerCut();
    for (const contents of [0, 7, 'zeroes'] as const) t.ok(isAllowed(contents, allowed[0]!));
    t.notOk(isAllowed('foreign', allowed[0]!));
    t.notOk(isAllowed('zeroes', allowed[1]!));
    const id = write(oracle, 0, 1, true);
    oracle.ended(id, OK);
    t.same(oracle.afterPowerCut()[0], { ids: [id], anything: false }, 'until it is rewritten');
  },
);

t.test('Oracle: a new life begins with what the last one left open', async (t) => {
  const oracle = new Oracle(1);
  const id = write(oracle, 0);
  const next = new Oracle(1, oracle.afterPowerCut());
  t.same(next.allowedNow(0).ids, [0, id]);
  t.ok(write(next, 0) > id, 'ids go on');
});
