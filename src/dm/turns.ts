/** Operations that take turns, in the order in which they were asked for; one may fail alone. */
export class Turns {
  readonly #onIdle: () => void;
  #last: Promise<unknown> = Promise.resolve();
  /** Those that are under way, or wait for their turn. */
  #open = 0;

  /** `onIdle` is told when one has ended, and no other waits. */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  get isIdle(): boolean {
    return this.#open === 0;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    this.#open += 1;
    const result = this.#last.then(work);
    this.#last = result
      .catch(() => undefined)
      .then(() => {
        this.#open -= 1;
        if (this.#open === 0) this.#onIdle();
      });
    return result;
  }
}
