/** What outlives a helper function and goes with its test: a tap test, or a script's own. */

export interface TestScope {
  /** The tasks run when all is over, the last one first. */
  teardown(task: () => unknown): void;
}

/** Of a script, which closes it itself. */
export class ScriptScope implements TestScope {
  readonly #tasks: (() => unknown)[] = [];

  teardown(task: () => unknown): void {
    this.#tasks.push(task);
  }

  async close(): Promise<void> {
    for (const task of this.#tasks.splice(0).reverse()) await task();
  }
}
