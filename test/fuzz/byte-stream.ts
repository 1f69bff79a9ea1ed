/** Bytes that one side has sent and an observer has not looked at yet. */

const NOTHING = Buffer.alloc(0);

export class ByteStream {
  #bytes: Buffer = NOTHING;
  #at = 0;
  readonly #added: Buffer[] = [];
  #addedBytes = 0;

  add(bytes: Buffer): void {
    this.#added.push(bytes);
    this.#addedBytes += bytes.length;
  }

  get available(): number {
    return this.#bytes.length - this.#at + this.#addedBytes;
  }

  /** The next bytes, which stay; null while so many are not there. */
  peek(size: number, at = 0): Buffer | null {
    if (this.available < at + size) return null;
    this.#join();
    return this.#bytes.subarray(this.#at + at, this.#at + at + size);
  }

  take(size: number): Buffer | null {
    const bytes = this.peek(size);
    if (bytes !== null) this.#at += size;
    return bytes;
  }

  /** Takes as many of `size` bytes as there are, and says how many. */
  skip(size: number): number {
    const taken = Math.min(size, this.available);
    this.take(taken);
    return taken;
  }

  #join(): void {
    if (this.#added.length === 0) return;
    const rest = this.#bytes.subarray(this.#at);
    this.#bytes =
      rest.length === 0 && this.#added.length === 1
        ? this.#added[0]!
        : Buffer.concat([rest, ...this.#added]);
    this.#at = 0;
    this.#added.length = 0;
    this.#addedBytes = 0;
  }
}
