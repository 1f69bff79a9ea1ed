import { readFileSync } from 'node:fs';
import t from 'tap';
import { checkLayers, LAYERS } from '../../scripts/lib/layers.ts';
import { formatProblem, parseSourceFile } from '../../scripts/lib/source-tree.ts';

/** What the check says of a tree given as path to the files that it imports. */
function judge(tree: Record<string, string[]>): string[] {
  const files = Object.entries(tree).map(([path, imports]) =>
    parseSourceFile(path, imports.map((name) => `import '${name}';\n`).join('')),
  );
  return checkLayers(files).map(formatProblem);
}

t.test('checkLayers() passes every edge of the table', async (t) => {
  const tree: Record<string, string[]> = {};
  for (const [folder, below] of Object.entries(LAYERS)) {
    tree[`src/${folder}/x.ts`] = below.map((name) => `../${name}/x.ts`);
  }
  t.strictSame(judge(tree), []);
});

t.test('checkLayers() names the edge that leads upward or sideways', async (t) => {
  t.strictSame(judge({ 'src/nbd/server.ts': ['../block/bio.ts', '../mirror/leg.ts'] }), [
    'src/nbd/server.ts:2: nbd imports src/mirror/leg.ts; nbd may import base, block [layers]',
  ]);
  t.strictSame(judge({ 'src/dm/table.ts': ['../nbd/errno-map.ts'] }).length, 1);
});

t.test('checkLayers() lets base import nothing, not even node:', async (t) => {
  t.match(judge({ 'src/base/clock.ts': ['node:timers'] }), [/base imports "node:timers"/]);
  t.match(judge({ 'src/base/clock.ts': ['../block/bio.ts'] }), [/base may import nothing/]);
});

t.test(
  'checkLayers() keeps rooms apart; the folder itself and its rooms go together',
  async (t) => {
    const tree = {
      'src/nbd/codec/a.ts': ['../uri.ts', './b.ts'],
      'src/nbd/server.ts': ['./codec/a.ts'],
    };
    t.strictSame(judge({ ...tree, 'src/nbd/server/c.ts': ['../codec/a.ts', '../client/d.ts'] }), [
      'src/nbd/server/c.ts:2: nbd/server imports src/nbd/client/d.ts; ' +
        'nbd/server may import nbd/codec [layers]',
    ]);
    t.match(judge({ ...tree, 'src/nbd/codec/e.ts': ['../client/d.ts'] }), [
      /may import no neighbour/,
    ]);
  },
);

t.test('checkLayers() keeps test code and scripts out of src', async (t) => {
  t.match(judge({ 'src/dm/table.ts': ['../../test/support/tools.ts'] }), [
    /src imports test\/support\/tools.ts, which is outside of it/,
  ]);
});

t.test('checkLayers() finds a folder that the table does not know', async (t) => {
  t.match(judge({ 'src/utils/misc.ts': [] }), [/is in no folder of the layer table/]);
  t.match(judge({ 'src/main.ts': [] }), [/is in no folder of the layer table/]);
});

t.test('checkLayers() finds a circle inside a folder, once, and names it', async (t) => {
  const problems = judge({
    'src/dm/a.ts': ['./b.ts'],
    'src/dm/b.ts': ['./c.ts', './d.ts'],
    'src/dm/c.ts': ['./b.ts'],
    'src/dm/d.ts': [],
    'src/dm/e.ts': ['./a.ts'],
  });
  t.strictSame(problems, [
    'src/dm/b.ts: imports itself in a circle: src/dm/b.ts -> src/dm/c.ts -> src/dm/b.ts [layers]',
  ]);
});

t.test('ARCHITECTURE.md has the same table', async (t) => {
  const text = readFileSync('ARCHITECTURE.md', 'utf8');
  const rows = [...text.matchAll(/^\| `(\w+)` \| ([^|]+?) \|$/gm)];
  const drawn = Object.fromEntries(
    rows.map(([, folder, below]) => [folder, below!.startsWith('nothing') ? '' : below]),
  );
  const enforced = Object.fromEntries(
    Object.entries(LAYERS).map(([folder, below]) => [folder, below.join(', ')]),
  );
  t.strictSame(drawn, enforced);
});
