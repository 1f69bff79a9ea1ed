/** Bytes in memory: one array, or pages that exist once they have been written. */

/** A range read or changed always lies inside the store; its user sees to that. */
export interface MemoryStore {
  read(offset: number, into: Uint8Array): void;
  write(offset: number, from: Uint8Array): void;
  zero(offset: number, length: number): void;
  /** How many of the bytes from `offset` on are alike: perhaps written, or certainly never. */
  run(offset: number, length: number): { readonly length: number; readonly written: boolean };
}

export class FlatStore implements MemoryStore {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  read(offset: number, into: Uint8Array): void {
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  write(offset: number, from: Uint8Array): void {
    this.bytes.set(from, offset);
  }

  zero(offset: number, length: number): void {
    this.bytes.fill(0, offset, offset + length);
  }

  run(_offset: number, length: number): { length: number; written: boolean } {
    return { length, written: true };
  }
}

const PAGE_SIZE = 65536;

/** For devices far larger than what is written to them. A page that is zeroed whole is given up. */
export class SparseStore implements MemoryStore {
  readonly #pages = new Map<number, Uint8Array>();

  read(offset: number, into: Uint8Array): void {
    this.#eachPage(offset, into.length, (index, start, length, done) => {
      const page = this.#pages.get(index);
      if (page === undefined) into.fill(0, done, done + length);
      else into.set(page.subarray(start, start + length), done);
    });
  }

  write(offset: number, from: Uint8Array): void {
    this.#eachPage(offset, from.length, (index, start, length, done) => {
      let page = this.#pages.get(index);
      if (page === undefined) {
        page = new Uint8Array(PAGE_SIZE);
        this.#pages.set(index, page);
      }
      page.set(from.subarray(done, done + length), start);
    });
  }

  zero(offset: number, length: number): void {
    if (length > this.#pages.size * PAGE_SIZE) {
      // Fewer pages exist than the range has: a discard of terabytes must not walk them all.
      const end = offset + length;
      for (const index of [...this.#pages.keys()]) {
        const from = Math.max(offset, index * PAGE_SIZE);
        const until = Math.min(end, (index + 1) * PAGE_SIZE);
        if (from < until) this.#zeroInPage(index, from - index * PAGE_SIZE, until - from);
      }
      return;
    }
    this.#eachPage(offset, length, (index, start, part) => this.#zeroInPage(index, start, part));
  }

  run(offset: number, length: number): { length: number; written: boolean } {
    if (this.#pages.size === 0) return { length, written: false };
    let index = Math.floor(offset / PAGE_SIZE);
    const written = this.#pages.has(index);
    const end = offset + length;
    while (index * PAGE_SIZE < end && this.#pages.has(index) === written) index += 1;
    return { length: Math.min(length, index * PAGE_SIZE - offset), written };
  }

  #zeroInPage(index: number, start: number, length: number): void {
    if (length === PAGE_SIZE) this.#pages.delete(index);
    else this.#pages.get(index)?.fill(0, start, start + length);
  }

  #eachPage(
    offset: number,
    length: number,
    visit: (index: number, start: number, length: number, done: number) => void,
  ): void {
    for (let done = 0; done < length; ) {
      const index = Math.floor((offset + done) / PAGE_SIZE);
      const start = offset + done - index * PAGE_SIZE;
      const part = Math.min(PAGE_SIZE - start, length - done);
      visit(index, start, part, done);
      done += part;
    }
  }
}
