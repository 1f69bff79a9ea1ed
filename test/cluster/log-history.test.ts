/** The observer of soaks sees what it is there for: histories with a fault in them, one each. */

import t from 'tap';
import { LogHistory, type StoredValue } from '../support/cluster/log-history.ts';

const REGIONS = 8;

type Written = Readonly<Record<string, object | number | null>>;

/** One transaction after the other; a number stands for the bits of a chunk. */
function play(...transactions: readonly Written[]): LogHistory {
  const history = new LogHistory(REGIONS);
  history.begin(new Map(), 1);
  for (const [index, written] of transactions.entries()) {
    const revision = index + 2;
    const changes = new Map<string, StoredValue | null>();
    for (const [key, value] of Object.entries(written)) {
      const bytes =
        typeof value === 'number' ? Buffer.from([value]) : Buffer.from(JSON.stringify(value));
      changes.set(key, value === null ? null : { value: bytes, revision });
    }
    history.add(changes, revision);
  }
  return history;
}

const START: readonly Written[] = [
  { 'node/a': {}, config: { ready: false }, 'sync/0': 0xfe },
  { 'node/b': {}, config: { ready: true } },
];
const copy = (region: number, node: string, owner: number) => ({ region, node, owner });
const BEGUN: Written = { copying: copy(0, 'a', 2), 'mark/a/0': 0x01 };

t.test('a good day has no fault', async (t) => {
  const history = play(
    ...START,
    { 'mark/b/0': 0x02 },
    BEGUN,
    { copying: null, 'sync/0': 0xff },
    { 'mark/a/0': null },
    { 'node/b': null },
    { 'mark/b/0': null, 'lost/b/0': 0x02, 'sync/0': 0xfd },
  );
  t.same(history.violations, []);
  t.same(history.counts, { revisions: 8, copies: 1, takeOvers: 1 });
  t.equal(history.uncleanDuring(4, 4), 0b11n, 'marked, and out of sync');
  t.equal(history.uncleanDuring(7, 8), 0b10n, 'marked');
  t.equal(history.uncleanDuring(9, 9), 0b10n, 'out of sync');
  t.equal(history.lost, 0b10n);
});

const FAULTS: Readonly<Record<string, [readonly Written[], RegExp]>> = {
  'a copy of what another marks': [[{ 'mark/b/0': 0x01 }, BEGUN], /marked by b/],
  'a mark on what another copies': [[BEGUN, { 'mark/b/0': 0x01 }], /marked by b/],
  'two that copy': [[BEGUN, { copying: copy(0, 'b', 3) }], /replaced by another/],
  'a copy by an earlier life': [[{ copying: copy(0, 'a', 1) }], /takes no part/],
  'a copy by a dead node': [[{ 'node/a': null }, BEGUN], /takes no part/],
  'in sync without a copy': [[{ 'sync/0': 0xff }], /come into sync uncopied/],
  'in sync by the copy of another region': [
    [BEGUN, { 'sync/0': 0xfc }, { 'sync/0': 0xfe }],
    /\b1\b/,
  ],
  'a mark by a dead node': [[{ 'node/b': null }, { 'mark/b/0': 0x02 }], /b marks/],
  'marks of a dead node that are forgotten': [
    [{ 'mark/b/0': 0x02 }, { 'node/b': null }, { 'mark/b/0': null }],
    /are dropped/,
  ],
};

for (const [what, [transactions, says]] of Object.entries(FAULTS)) {
  t.test(what, async (t) => {
    t.match(play(...START, ...transactions).violations.join('\n'), says);
  });
}
