/** The pid file: complete or not there, and nobody else's is removed. */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { removePidFile, writePidFile } from '../../src/daemon/pid-file.ts';
import { tempDir } from '../support/temp-dir.ts';

t.test('a pid file is replaced, and removed by the process that it names', async (t) => {
  const directory = tempDir(t);
  const path = join(directory, 'pid');
  writeFileSync(path, '7\n');
  writePidFile(path, 12);
  t.equal(readFileSync(path, 'utf8'), '12\n');
  removePidFile(path, 13);
  t.same(readdirSync(directory), ['pid']);
  removePidFile(path, 12);
  t.same(readdirSync(directory), []);
});

t.test('a pid file that cannot be written leaves nothing behind', async (t) => {
  const directory = tempDir(t);
  const path = join(directory, 'pid');
  mkdirSync(path);
  t.throws(() => writePidFile(path, 12), /Cannot write pid file ".*pid": EISDIR/);
  t.same(readdirSync(directory), ['pid']);
});
