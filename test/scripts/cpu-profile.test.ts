import t from 'tap';
import { summarizeProfile } from '../../scripts/lib/bench/cpu-profile.ts';

const node = (id: number, functionName: string, url: string) => ({
  id,
  callFrame: { functionName, url },
});

const NODES = [
  node(1, '(idle)', ''),
  node(2, 'map', 'file:///x/dist/mirror/mirror-target.js'),
  node(3, 'map', 'file:///x/dist/mirror/mirror-target.js'),
  node(4, 'writeBuffer', ''),
  node(5, '(garbage collector)', ''),
  node(6, 'writeSync', 'node:fs'),
  node(7, '', 'file:///x/node_modules/pino/pino.js'),
];

t.test('summarizeProfile() counts busy time by function and by floor', async (t) => {
  const summary = summarizeProfile(
    {
      startTime: 5,
      nodes: NODES,
      samples: [7, 1, 2, 3, 4, 5, 6],
      timeDeltas: [1000, 100, 10, 20, 40, 20, 10],
    },
    1001,
  );
  t.equal(summary.busyShare, 0.5);
  t.strictSame(summary.byFunction, [
    { name: 'writeBuffer', share: 0.4 },
    { name: 'map (mirror-target)', share: 0.3 },
    { name: '(garbage collector)', share: 0.2 },
    { name: 'writeSync (node:fs)', share: 0.1 },
  ]);
  t.strictSame(
    summary.byPlace.map(({ name }) => name),
    ['system calls, and native code', 'mirror', 'garbage collector', 'node, JavaScript'],
  );
});
