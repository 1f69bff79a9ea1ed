/** Bytes that one side has sent and an observer has not looked at yet. */

const NOTHING = Buffer.alloc(0);

export class ByteStream {
  /** What has been given out stays as it is: this is appended to, and never moved in place. */
  #bytes: Buffer = NOTHING;
  #at = 0;
  #end = 0;

  add(bytes: Buffer): void {
    if (this.#end + bytes.length > this.#bytes.length) this.#makeRoom(bytes.length);
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  get available(): number {
    return this.#end - this.#at;
  }

  /** The next bytes, which stay; null while so many are not there. */
  peek(size: number, at = 0): Buffer | null {
    if (this.available < at + size) return null;
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

  /** Twice what is needed, so that a reply of many pieces is not copied at each of them. */
  #makeRoom(size: number): void {
    const roomy = Buffer.allocUnsafe(2 * (this.available + size));
    roomy.set(this.#bytes.subarray(this.#at, this.#end));
    this.#end -= this.#at;
    this.#at = 0;
    this.#bytes = roomy;
  }
}
