/**
 * Assertions on the program's own invariants. They are always on: a broken invariant ends the
 * process, because carrying on could lie about durability. Bad input is never an assertion.
 */

/**
 * Throws when `condition` is false. Callers do not catch it.
 *
 * The message is made in any case: where a request passes, let it be a constant, or put a branch
 * around `unreachable`.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** Marks a branch that types or invariants exclude. */
export function unreachable(message: string): never {
  throw new AssertionFailure(message);
}

/** Executable documentation: `condition` may be true or false here, and both are fine. */
export function maybe(condition: boolean): void {
  assert(condition || !condition, 'unreachable');
}

export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}
