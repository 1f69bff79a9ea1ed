/**
 * A value that is there at once, or later. Operations of devices and logs that are in memory or in
 * the page cache answer at once, so that the hot path never touches a promise it does not need.
 */

export type Awaitable<T> = T | Promise<T>;

export function isPromise<T>(value: Awaitable<T>): value is Promise<T> {
  return value instanceof Promise;
}
