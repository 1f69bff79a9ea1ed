/**
 * A value that is there at once, or later. Operations of devices and logs that are in memory or in
 * the page cache answer at once, so that the hot path never touches a promise it does not need.
 */

export type Awaitable<T> = T | Promise<T>;

export function isPromise<T>(value: Awaitable<T>): value is Promise<T> {
  return value instanceof Promise;
}

/** Goes on with the value; at once where it is there, so that what follows is done in this turn. */
export function andThen<T, U>(value: Awaitable<T>, next: (value: T) => Awaitable<U>): Awaitable<U> {
  return isPromise(value) ? value.then(next) : next(value);
}

/** Takes the items in order, each when the one before is done with. */
export function forEachInTurn<T>(
  items: readonly T[],
  take: (item: T) => Awaitable<void>,
): Awaitable<void> {
  for (let index = 0; index < items.length; index++) {
    const outcome = take(items[index]!);
    if (isPromise(outcome)) return takeRest(outcome, items.slice(index + 1), take);
  }
}

/**
 * Takes all items, each without waiting for the one before; ends when all are done with. For
 * questions to somebody else, who can have them all at once.
 */
export function forEachAtOnce<T>(
  items: readonly T[],
  take: (item: T) => Awaitable<void>,
): Awaitable<void> {
  let waiting: Promise<void>[] | null = null;
  for (const item of items) {
    const outcome = take(item);
    if (!isPromise(outcome)) continue;
    waiting ??= [];
    waiting.push(outcome);
  }
  if (waiting !== null) return Promise.all(waiting).then(() => undefined);
}

async function takeRest<T>(
  first: Promise<void>,
  rest: readonly T[],
  take: (item: T) => Awaitable<void>,
): Promise<void> {
  await first;
  for (const item of rest) {
    const outcome = take(item);
    if (isPromise(outcome)) await outcome;
  }
}
