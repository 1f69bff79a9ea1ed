import t from 'tap';
import { EIO, ENOSPC, OK } from '../../../src/base/errno.ts';
import type { Sector, SectorCount } from '../../../src/base/units.ts';
import { Bio } from '../../../src/block/bio.ts';
import { DataSync } from '../../../src/block/file/data-sync.ts';

/** A sync whose end the test decides, and the bios that wait for it. */
function makeSync() {
  const running: ((error: Error | null) => void)[] = [];
  const ended: string[] = [];
  let started = 0;
  const sync = new DataSync('leg.img', (onEnd) => {
    started += 1;
    running.push(onEnd);
  });
  return {
    ended,
    started: () => started,
    request(name: string, then?: () => void): void {
      sync.end(
        new Bio({
          op: 'flush',
          sector: 0 as Sector,
          count: 0 as SectorCount,
          data: null,
          fua: false,
          onEnd: (_bio, result) => {
            ended.push(`${name}: ${result}`);
            then?.();
          },
        }),
      );
    },
    finish(error: Error | null = null): void {
      running.shift()!(error);
    },
  };
}

function failure(errno: number): Error {
  return Object.assign(new Error('failed'), { errno: -errno });
}

t.test('DataSync: one sync at a time; who came later is answered by a later one', async (t) => {
  const sync = makeSync();
  sync.request('a');
  sync.request('b');
  sync.request('c');
  t.equal(sync.started(), 1, 'b and c came after it began');
  sync.finish();
  t.strictSame(sync.ended, [`a: ${OK}`]);
  t.equal(sync.started(), 2, 'b and c share one');
  sync.request('d');
  sync.finish();
  t.strictSame(sync.ended, ['a: 0', 'b: 0', 'c: 0']);
  t.equal(sync.started(), 3);
  sync.finish();
  t.equal(sync.ended.at(-1), 'd: 0');
  t.equal(sync.started(), 3, 'nobody waits any more');
});

t.test('DataSync: a request from within an end is not covered by what just ended', async (t) => {
  const sync = makeSync();
  sync.request('a', () => sync.request('b'));
  sync.finish();
  t.strictSame(sync.ended, ['a: 0']);
  t.equal(sync.started(), 2);
  sync.finish();
  t.strictSame(sync.ended, ['a: 0', 'b: 0']);
});

t.test('DataSync: a failure is final, for those who wait and for all who come', async (t) => {
  const sync = makeSync();
  sync.request('a');
  sync.request('b');
  sync.finish(failure(ENOSPC));
  t.strictSame(sync.ended, [`a: ${ENOSPC}`, `b: ${ENOSPC}`]);
  sync.request('c');
  t.equal(sync.ended.at(-1), `c: ${ENOSPC}`);
  t.equal(sync.started(), 1, 'no later sync may vouch for what is lost');
});

t.test('DataSync: an error without an errno is EIO', async (t) => {
  const sync = makeSync();
  sync.request('a');
  sync.finish(new Error('odd'));
  t.strictSame(sync.ended, [`a: ${EIO}`]);
});
