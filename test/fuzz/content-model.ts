/**
 * What is on a device, as far as its clients can know it.
 *
 * A byte is sure when the last write to it has ended with success and overlapped no other in
 * flight; it is unsure while a write to it is in flight, and after writes that failed, were lost
 * with their connection, or raced. Only sure bytes are compared.
 */

export interface ModelWrite {
  readonly start: number;
  readonly end: number;
  /** Its bytes; null where they are zeros, undefined where nobody knows (a discard). */
  readonly data: Buffer | null | undefined;
  contended: boolean;
}

export interface ModelRead {
  readonly start: number;
  readonly end: number;
  /** What was sure when it began, by byte, and stayed so; null when a write came in between. */
  contended: boolean;
}

export class ContentModel {
  readonly #bytes: Uint8Array;
  readonly #sure: Uint8Array;
  readonly #writes = new Set<ModelWrite>();
  readonly #reads = new Set<ModelRead>();
  /** Their connection is gone, and the device may hold them still. */
  readonly #lost = new Set<ModelWrite>();

  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
    this.#sure = new Uint8Array(size).fill(1);
  }

  beginWrite(start: number, length: number, data: Buffer | null | undefined): ModelWrite {
    const write = { start, end: start + length, data, contended: false };
    for (const other of this.#writes) {
      if (!overlap(write, other)) continue;
      write.contended = true;
      other.contended = true;
    }
    for (const other of this.#lost) if (overlap(write, other)) write.contended = true;
    for (const read of this.#reads) if (overlap(write, read)) read.contended = true;
    this.#writes.add(write);
    this.#sure.fill(0, write.start, write.end);
    return write;
  }

  endWrite(write: ModelWrite, succeeded: boolean): void {
    this.#writes.delete(write);
    const { start, end, data } = write;
    if (!succeeded || write.contended || data === undefined) return;
    if (data === null) this.#bytes.fill(0, start, end);
    else this.#bytes.set(data, start);
    this.#sure.fill(1, start, end);
  }

  /** The client is gone: the write may happen, until `settled`. */
  loseWrite(write: ModelWrite): void {
    if (this.#writes.delete(write)) this.#lost.add(write);
  }

  /** The device holds nothing any more. */
  settled(): void {
    this.#lost.clear();
  }

  beginRead(start: number, length: number): ModelRead {
    const read = { start, end: start + length, contended: false };
    for (const write of this.#writes) if (overlap(write, read)) read.contended = true;
    for (const write of this.#lost) if (overlap(write, read)) read.contended = true;
    this.#reads.add(read);
    return read;
  }

  /** What is wrong with `data` as the answer; null for nothing. Without data it is forgotten. */
  endRead(read: ModelRead, data: Uint8Array | null): string | null {
    this.#reads.delete(read);
    if (data === null || read.contended) return null;
    return this.#differs(data, read.start);
  }

  /** What is wrong with the whole content of a device; null for nothing. */
  compare(bytes: Uint8Array): string | null {
    return this.#differs(bytes, 0);
  }

  #differs(data: Uint8Array, start: number): string | null {
    const model = this.#bytes.subarray(start, start + data.length);
    // The common case, at the speed of memcmp.
    if (Buffer.compare(data, model) === 0) return null;
    for (let i = 0; i < data.length; i++) {
      if (data[i] === model[i] || this.#sure[start + i] === 0) continue;
      return `byte ${start + i} is ${data[i]}, must be ${model[i]}`;
    }
    return null;
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function overlap(a: Range, b: Range): boolean {
  return a.start < b.end && b.start < a.end;
}
