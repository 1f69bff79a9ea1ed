import t from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { UnflushedWrite } from '../../../src/fault/unflushed-write.ts';
import { formatCrashPath, parseCrashStep } from '../../../src/sim/crash-path.ts';
import { chooseFates, formatFates, parseFates } from '../../../src/sim/machine/fates.ts';

function writes(...counts: number[]): UnflushedWrite[] {
  return counts.map(
    (count, id) =>
      new UnflushedWrite({
        id,
        sector: id * 8,
        count,
        data: new Uint8Array(count * 512),
        fua: false,
      }),
  );
}

t.test('chooseFates() takes all outcomes of whole writes that fit the budget', async (t) => {
  const chosen = chooseFates(writes(1, 1, 1), { whole: 8, torn: 4 }, new Prng(1));
  t.same([chosen.explored, chosen.total, chosen.lists.length], [8, 8, 8]);
  t.equal(new Set(chosen.lists.map(formatFates)).size, 8);
  const none = chooseFates([], { whole: 8, torn: 4 }, new Prng(1));
  t.same(none.lists, [[]], 'nothing unflushed is one outcome');
});

t.test('chooseFates() begins with all lost, all kept, each loss, each survivor', async (t) => {
  const chosen = chooseFates(writes(...new Array(20).fill(1)), { whole: 50, torn: 0 }, new Prng(1));
  t.same([chosen.explored, chosen.total], [50, 2 ** 20]);
  const lists = chosen.lists.map((fates) =>
    fates.map((fate) => (fate === 'kept' ? 'K' : 'L')).join(''),
  );
  t.equal(lists[0], 'L'.repeat(20));
  t.equal(lists[1], 'K'.repeat(20));
  t.equal(lists[2], `L${'K'.repeat(19)}`);
  t.equal(lists[22], `K${'L'.repeat(19)}`);
  t.equal(new Set(lists).size, 50);
});

t.test('chooseFates() tears writes of several sectors, on top of the budget', async (t) => {
  const chosen = chooseFates(writes(4), { whole: 2, torn: 20 }, new Prng(1));
  t.equal(chosen.explored, 2);
  const torn = chosen.lists.filter(([fate]) => typeof fate !== 'string');
  t.ok(torn.length >= 3, 'different ways to tear');
  const untearable = chooseFates(writes(1), { whole: 2, torn: 20 }, new Prng(1));
  t.equal(untearable.lists.length, 2);
});

t.test('parseFates() and parseCrashStep() read what is printed', async (t) => {
  const fates = ['kept', 'lost', [true, false, true]] as const;
  t.equal(formatFates(fates), 'K.L.T5');
  t.same(parseFates('K.L.T5'), fates);
  for (const text of ['12:K.L.T5', '7:', '9', '0', 'stop', 'W7.1#3@12:K', 'A4']) {
    t.equal(formatCrashPath([parseCrashStep(text)]), text);
  }
  for (const text of ['', ':K', '1:X', '1:K.', 'W99', 'W7.1#0', 'stopp']) {
    t.throws(() => parseCrashStep(text), { name: 'UserError' }, text);
  }
});
