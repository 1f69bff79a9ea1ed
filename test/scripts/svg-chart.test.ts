import t from 'tap';
import { makeAxis } from '../../scripts/lib/bench/axis.ts';
import { type Chart, drawChart } from '../../scripts/lib/bench/svg-chart.ts';

const labels = (scale: 'linear' | 'log', values: readonly number[]) =>
  makeAxis({ label: '', scale }, values).ticks.map((tick) => tick.label);

t.test(
  'a linear axis begins at 0 and ends at the first round number that covers all',
  async (t) => {
    t.strictSame(labels('linear', [3, 55]), ['0', '10', '20', '30', '40', '50', '60']);
    t.strictSame(labels('linear', [0.3]), ['0', '0.05', '0.1', '0.15', '0.2', '0.25', '0.3']);
    t.strictSame(labels('linear', [132_289]).at(-1), '150k');
    const axis = makeAxis({ label: '', scale: 'linear' }, [30, 60]);
    t.strictSame([0, 30, 60].map(axis.place), [0, 0.5, 1]);
  },
);

t.test(
  'a logarithmic axis has 1, 2 and 5, or powers of ten where values lie far apart',
  async (t) => {
    t.strictSame(labels('log', [8, 40]), ['5', '10', '20', '50']);
    t.strictSame(labels('log', [10, 20]), ['10', '20']);
    t.strictSame(labels('log', [3, 9000]), ['1', '10', '100', '1,000', '10k']);
    const axis = makeAxis({ label: '', scale: 'log' }, [1, 100]);
    t.match([1, 10, 100].map(axis.place), [0, 0.5, 1]);
  },
);

t.test('an axis has a place for values beyond the ticks that were given', async (t) => {
  const ticks = [{ value: 1, label: 'one' }];
  const axis = makeAxis({ label: '', scale: 'linear', ticks }, [1, 5]);
  t.strictSame([1, 5].map(axis.place), [0, 1]);
  t.ok(Number.isFinite(makeAxis({ label: '', scale: 'log' }, [7]).place(7)));
});

const CHART: Chart = {
  title: 'Legs & <logs>',
  subtitle: 'how it was measured',
  panels: [
    {
      title: 'CPU time',
      x: { label: 'legs', scale: 'linear' },
      y: { label: 'microseconds', scale: 'log' },
      lines: [
        {
          name: 'core log',
          points: [2, 4].map((x) => ({ x, y: x * 10, low: x * 9, high: x * 12 })),
        },
        { name: 'disk log', points: [{ x: 2, y: 30 }] },
      ],
    },
  ],
};

t.test('drawChart() escapes what it is given, and keeps to its format', async (t) => {
  const svg = drawChart(CHART);
  t.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ \d+"/);
  t.match(svg, /<title>Legs &amp; &lt;logs&gt;<\/title>/);
  for (const word of ['how it was measured', 'CPU time', 'legs', 'microseconds']) {
    t.match(svg, `>${word}</text>`);
  }
  // One marker in the legend, and one for each point.
  const colours = [...svg.matchAll(/fill="(#[0-9a-f]{6})" stroke="#ffffff"/g)].map(([, c]) => c);
  t.equal(colours.length, 2 + 3);
  t.equal(new Set(colours).size, 2);
  t.notMatch(svg, /NaN|undefined|Infinity/);
  t.equal(drawChart(CHART), svg);
});

t.test('drawChart() puts a larger value higher, a whisker over both ends', async (t) => {
  const svg = drawChart(CHART);
  const whiskers = /<path d="((?:M[\d.]+ [\d.]+V[\d.]+)+)"/.exec(svg)?.[1] ?? '';
  const ends = [...whiskers.matchAll(/M([\d.]+) ([\d.]+)V([\d.]+)/g)].map((found) =>
    found.slice(1).map(Number),
  );
  t.equal(ends.length, 2);
  for (const [, low, high] of ends) t.ok(high! < low!);
  t.ok(ends[1]![0]! > ends[0]![0]!);
});
