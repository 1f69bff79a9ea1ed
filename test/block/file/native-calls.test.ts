/** System calls that no other test looks at. */

import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { nativeCalls } from '../../../src/block/file/native-calls.ts';
import { tempDir } from '../../support/temp-dir.ts';

t.test('isWritable() is false where a write would wait for a reader', async (t) => {
  const path = join(tempDir(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  const calls = nativeCalls();
  t.ok(calls.isWritable(fd));
  t.throws(
    () => {
      for (;;) writeSync(fd, Buffer.alloc(4096));
    },
    { code: 'EAGAIN' },
  );
  t.notOk(calls.isWritable(fd), 'full');
  readSync(fd, Buffer.alloc(65_536));
  t.ok(calls.isWritable(fd));
  t.ok(calls.isWritable(12_345), 'what is not open says so when it is written to');
});
