/** Ways to make a list, or bytes, smaller: from much to little. */

export function* leavingOut<T>(items: readonly T[]): Generator<T[]> {
  for (let size = Math.ceil(items.length / 2); size >= 1; size = size === 1 ? 0 : size >> 1) {
    for (let at = 0; at < items.length; at += size) {
      yield [...items.slice(0, at), ...items.slice(at + size)];
    }
  }
}

/** Beginnings of bytes. */
export function* shorterBytes(bytes: Buffer): Generator<Buffer> {
  for (let cut = bytes.length >> 1; cut >= 1; cut >>= 1) {
    yield bytes.subarray(0, bytes.length - cut);
  }
}
