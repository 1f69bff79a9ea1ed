/**
 * Other people's programs that tests use: a test that misses one is skipped loudly, or fails in CI.
 */

import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';

/** Root's programs stand where an ordinary user's PATH does not lead. */
const PLACES = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];

/** The program's full path, or null. */
export function findTool(name: string): string | null {
  for (const place of PLACES) {
    const path = join(place, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this place.
    }
  }
  return null;
}

/**
 * True where every tool is installed. Else the test is marked as skipped, or with CI=true as
 * failed, and should return at once.
 */
export function requireTool(t: Test, ...names: string[]): boolean {
  return names.every((name) => requireThat(t, findTool(name) !== null, `${name} is not installed`));
}

export function requireRoot(t: Test): boolean {
  return requireThat(t, process.getuid?.() === 0, 'not root');
}

/** The same for any other condition; `reason` says what is missing. */
export function requireThat(t: Test, condition: boolean, reason: string): boolean {
  if (condition) return true;
  if (process.env.CI === 'true') t.fail(reason);
  else t.pass('something is missing', { skip: reason });
  return false;
}
