/** Work that nobody asked for at the moment when it begins, such as a removal that was put off. */

export class PendingWork {
  readonly #running = new Set<Promise<unknown>>();

  /** `work` does not fail. */
  add(work: Promise<unknown>): void {
    const ended = work.then(() => {
      this.#running.delete(ended);
    });
    this.#running.add(ended);
  }

  /** Does something, and waits for what began meanwhile: its result is what one then finds. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const before = new Set(this.#running);
    try {
      return await work();
    } finally {
      const begun = (): Promise<unknown>[] => [...this.#running].filter((one) => !before.has(one));
      for (let open = begun(); open.length > 0; open = begun()) await Promise.all(open);
    }
  }
}
