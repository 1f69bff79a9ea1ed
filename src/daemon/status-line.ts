/** One line at the bottom of a terminal that is rewritten in place; other lines go above it. */

export class StatusLine {
  readonly #write: (text: string) => void;
  #shown = '';

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  set(text: string): void {
    this.#write(`\r\x1b[K${text}`);
    this.#shown = text;
  }

  clear(): void {
    if (this.#shown !== '') this.#write('\r\x1b[K');
    this.#shown = '';
  }

  /** Writes a whole line, and the status line again below it. */
  above(line: string): void {
    const shown = this.#shown;
    this.clear();
    this.#write(line);
    if (shown !== '') this.set(shown);
  }
}
