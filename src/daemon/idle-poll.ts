/**
 * Looks for requests a little longer before the event loop goes to sleep.
 *
 * To be woken costs more than to serve a small request, above all in a virtual machine: a client
 * with one request in flight waits for that each time. So after requests the loop goes round for a
 * while, as long as this pays: where the next requests come while it still looks. Where they do
 * not, it sleeps at once, and only now and then tries again; a client that sends something rarely
 * costs next to nothing.
 */

/** What `SystemClock` is beside a clock. */
export interface EventLoop {
  /** Milliseconds. */
  now(): number;
  /** Runs `task` when all sockets that are readable now have been read. */
  afterSockets(task: () => void): void;
}

/** Met while it looked: one up. In vain: two down. It goes on above 0. */
const SCORE_MAX = 8;
const SCORE_FIRST = 4;
/** Batches of requests before another try, twice as many after each that failed. */
const PAUSE_MIN = 16;
const PAUSE_MAX = 4096;

export class IdlePoll {
  readonly #loop: EventLoop;
  readonly #whileMs: number;
  #score = SCORE_FIRST;
  #pause = PAUSE_MIN;
  #pauseLeft = 0;
  /** Null: what came last is being served. */
  #idleSinceMs: number | null = null;
  #isLooking = false;
  /** Requests have come since the last look. */
  #isFresh = false;
  readonly #look = (): void => this.#lookOnce();

  /** `whileUs`: how long it looks, in microseconds; 0: never. */
  constructor(loop: EventLoop, whileUs: number) {
    this.#loop = loop;
    this.#whileMs = whileUs / 1000;
  }

  /** Requests have come. */
  noteRequests(): void {
    if (this.#whileMs === 0) return;
    if (this.#pauseLeft > 0) {
      this.#pauseLeft -= 1;
      return;
    }
    if (this.#isLooking) {
      this.#met();
      return;
    }
    this.#isFresh = true;
    this.#isLooking = true;
    this.#loop.afterSockets(this.#look);
  }

  #met(): void {
    // More of what was just received is no answer to what was served.
    if (this.#isFresh) return;
    this.#isFresh = true;
    if (this.#score < SCORE_MAX) this.#score += 1;
    else this.#pause = PAUSE_MIN;
  }

  #lookOnce(): void {
    const nowMs = this.#loop.now();
    if (this.#isFresh) {
      // It is served behind this look: only the next one sees the end of that.
      this.#isFresh = false;
      this.#idleSinceMs = null;
      this.#loop.afterSockets(this.#look);
      return;
    }
    this.#idleSinceMs ??= nowMs;
    if (nowMs - this.#idleSinceMs < this.#whileMs) {
      this.#loop.afterSockets(this.#look);
      return;
    }
    this.#isLooking = false;
    this.#score -= 2;
    if (this.#score > 0) return;
    this.#score = SCORE_FIRST;
    this.#pauseLeft = this.#pause;
    this.#pause = Math.min(this.#pause * 2, PAUSE_MAX);
  }
}
