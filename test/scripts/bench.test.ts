import t from 'tap';
import { parseFioReport } from '../../scripts/lib/bench/fio.ts';
import { GOALS } from '../../scripts/lib/bench/goals.ts';
import { parseLimit } from '../../scripts/lib/bench/limit.ts';
import { parseCpuTicks } from '../../scripts/lib/bench/server.ts';
import { median, medianRatio, shuffled } from '../../scripts/lib/bench/statistics.ts';
import {
  formatFigure,
  formatGoal,
  formatLimit,
  formatMarkdown,
  formatTable,
} from '../../scripts/lib/bench/table.ts';
import { WORKLOADS } from '../../scripts/lib/bench/throughput.ts';
import type { Measurement } from '../../scripts/lib/bench/throughput-report.ts';
import { reportThroughput } from '../../scripts/lib/bench/throughput-report.ts';

const IDLE = { total_ios: 0, iops: 0, bw_bytes: 0, clat_ns: { max: 0 } };
const BUSY = {
  total_ios: 1000,
  iops: 500.5,
  bw_bytes: 2 ** 21,
  clat_ns: { max: 4_200_000, percentile: { '99.000000': 31_000 } },
};

t.test('parseFioReport() takes the side that worked, behind a line of the engine', async (t) => {
  const job = { error: 0, usr_cpu: 20, sys_cpu: 30, read: IDLE, write: BUSY };
  const report = `nbd: a word from the engine\n${JSON.stringify({ jobs: [job] })}`;
  t.strictSame(parseFioReport(report), {
    ios: 1000,
    iops: 500.5,
    mibPerSecond: 2,
    p99Microseconds: 31,
    maxMilliseconds: 4.2,
    clientCores: 0.5,
  });
});

t.test('parseFioReport() refuses a report of failure, and what is no report', async (t) => {
  const job = { error: 5, usr_cpu: 0, sys_cpu: 0, read: BUSY, write: IDLE };
  t.throws(() => parseFioReport(JSON.stringify({ jobs: [job] })), /fio failed/);
  t.throws(() => parseFioReport('fio: unable to connect'), /fio failed: fio: unable to connect/);
});

t.test('parseCpuTicks() is not misled by the name of the program', async (t) => {
  const later = Array.from({ length: 40 }, (_, index) => index + 4).join(' ');
  const stat = `42 (a) b (1 2 3) S ${later}`;
  t.equal(parseCpuTicks(stat), 14 + 15);
});

t.test('parseLimit() computes rates, and refuses anything else', async (t) => {
  const limit = parseLimit('2048 2.0 0.512\n', 2 ** 20);
  t.match(limit, { iops: 1024, mibPerSecond: 1024, cpuMicroseconds: 250 });
  t.throws(() => parseLimit('0 0 0', 4096), /must print three numbers/);
});

t.test('medianRatio() compares round with round, not median with median', async (t) => {
  // A slow second round slows both.
  t.equal(medianRatio([100, 10, 120], [50, 5, 40]), 2);
  t.equal(medianRatio([100, 90], [50]), 2);
  t.ok(Number.isNaN(medianRatio([], [1])));
  t.equal(median([4, 1, 3, 2]), 2.5);
});

t.test('shuffled() keeps every element', async (t) => {
  t.strictSame(shuffled([1, 2, 3, 4]).sort(), [1, 2, 3, 4]);
  t.strictSame(
    shuffled([1, 2, 3], () => 0),
    [2, 3, 1],
  );
});

t.test('figures have three digits that count', async (t) => {
  t.equal(formatFigure(123456.7), '123,457');
  t.equal(formatFigure(12.34), '12.3');
  t.equal(formatFigure(1.234), '1.23');
  t.equal(formatFigure(Number.NaN), '-');
  t.equal(formatGoal(1.249, 1.2), '1.25 >= 1.2 met');
  t.equal(formatGoal(1.19, 1.2), '1.19 >= 1.2 MISSED');
  t.equal(formatLimit(21, 20, 'ms'), '21 <= 20 ms MISSED');
});

t.test('tables are aligned, numbers to the right', async (t) => {
  const table = {
    title: 'T',
    header: ['name', 'IOPS'],
    rows: [
      ['long name', '1,234'],
      ['b', '5'],
    ],
  };
  t.equal(formatTable(table), 'T\n\nname       IOPS\nlong name  1,234\nb              5\n');
  t.equal(
    formatMarkdown(table),
    'T\n\n| name | IOPS |\n| --- | --: |\n| long name | 1,234 |\n| b | 5 |\n',
  );
});

t.test(
  'reportThroughput() judges every goal that was measured, and none that was not',
  async (t) => {
    const of = (iops: number): Measurement[] =>
      [1, 2, 3].map(() => ({
        iops,
        mibPerSecond: iops / 256,
        p99Microseconds: 1,
        cpuMicroseconds: 2,
        clientCores: 1,
      }));
    const works = WORKLOADS.filter((work) => work.name === 'randwrite-4k-16');
    const tables = reportThroughput(works, ['core', 'disk', 'nbdkit', 'limit'], {
      'randwrite-4k-16': { core: of(150), disk: of(70), nbdkit: of(100), limit: of(300) },
    });
    const goals = tables.find((table) => table.title.startsWith('Ratios, and'));
    t.strictSame(goals?.rows, [
      ['randwrite-4k-16', 'nbdkit', '1.50 >= 1.4 met', '0.70 >= 0.8 MISSED'],
    ]);
    const share = tables.find((table) => table.title.startsWith('Share'));
    t.strictSame(share?.rows, [['randwrite-4k-16', '0.50', '0.23', '0.33']]);
  },
);

t.test('every goal is about a workload that exists', async (t) => {
  const names = WORKLOADS.map((work) => work.name);
  for (const goal of GOALS) t.ok(names.includes(goal.work), goal.work);
});
