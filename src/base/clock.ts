/** Time and the order of work, injected everywhere so that a seed determines a simulated run. */

export interface Timer {
  /** Has no effect when the task has run already. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds since some fixed instant; fractions are allowed. */
  now(): number;
  /**
   * Runs `task` once, soon: after the current call stack has ended, before any timer that is not
   * yet due, in the order of the calls. Work that arrived together is thereby handled together.
   */
  defer(task: () => void): void;
  /** Runs `task` once, at least `delayMs` milliseconds from now. */
  after(delayMs: number, task: () => void): Timer;
}
