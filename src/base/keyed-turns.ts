/** Work on one thing takes turns, in the order in which it was asked for; others do not wait. */
export class KeyedTurns<Key> {
  /** Of each thing that is being worked on: when the last of those who wait is through. */
  readonly #last = new Map<Key, Promise<void>>();

  /** Work that fails fails alone. */
  run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(key) ?? Promise.resolve()).then(work);
    const turn = result
      .catch(() => undefined)
      .then(() => {
        if (this.#last.get(key) === turn) this.#last.delete(key);
      });
    this.#last.set(key, turn);
    return result;
  }

  /** Ends when nobody is at it any more, of those who have come until now. */
  async through(key: Key): Promise<void> {
    await this.#last.get(key);
  }

  async allThrough(): Promise<void> {
    await Promise.all(this.#last.values());
  }
}
