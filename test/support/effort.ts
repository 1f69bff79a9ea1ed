/** How long the long tests may take: `scripts/test --quick`, as it is, or `--full`. */

export interface Effort<T> {
  readonly quick: T;
  readonly standard: T;
  readonly full: T;
}

/** The value for the present run, for example a number of rounds. */
export function byEffort<T>(values: Effort<T>): T {
  const effort = process.env.TEST_EFFORT;
  if (effort === 'full') return values.full;
  return effort === 'quick' ? values.quick : values.standard;
}
