/** A directory of a test's own in memory, gone with the test. */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestScope } from './test-scope.ts';

/** Short enough for the path of a unix socket, and quick: tmpfs where there is one. */
export function tempDir(scope: TestScope): string {
  const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const path = mkdtempSync(join(place, 'nbd-mirror-test.'));
  scope.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
