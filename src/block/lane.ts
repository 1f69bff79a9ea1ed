/**
 * Whether a transfer is done inline, on the event loop, or handed to the thread pool.
 *
 * In the page cache an inline call costs 1 to 2 microseconds, and a trip through the pool 13 or more.
 * But an inline call that waits for storage stops everything. So each direction of each device keeps a
 * moving estimate of what its inline calls take beyond copying; once that is a real wait, transfers go
 * to the pool, and now and then one probes inline whether storage has become quick again.
 */

export type AioPolicy = 'auto' | 'inline' | 'pool';

export const AIO_POLICIES: readonly AioPolicy[] = ['auto', 'inline', 'pool'];

/** An inline call that waits longer than this, on average, is worse than the pool. */
const WAIT_US_MAX = 60;
/** One call tells no more than this: the scheduler may just have run somebody else. */
const WAIT_US_CLAMP = 1000;
const SMOOTHING = 1 / 16;
/** What copying takes; generous, so that only waiting counts as slow. */
const COPY_BYTES_PER_US = 1500;
/** Probes: one transfer in so many, less often while they are slow, back inline after some quick ones. */
const PROBE_GAP_MIN = 64;
const PROBE_GAP_MAX = 4096;
const QUICK_PROBES_NEEDED = 4;

export class Lane {
  readonly #policy: AioPolicy;
  readonly #inlineBytesMax: number;
  #waitUs = 0;
  #isSlow = false;
  #probeGap = PROBE_GAP_MIN;
  #untilProbe = 0;
  #quickProbes = 0;

  /** Transfers of more than `inlineBytesMax` go to the pool even where they do not wait. */
  constructor(options: { policy: AioPolicy; inlineBytesMax: number }) {
    this.#policy = options.policy;
    this.#inlineBytesMax = options.inlineBytesMax;
  }

  /** Inline calls were found to be slow; transfers go to the pool. */
  get isSlow(): boolean {
    return this.#isSlow;
  }

  /** True where the caller should transfer inline, and then report with `took`. */
  isInline(byteCount: number): boolean {
    if (this.#policy !== 'auto') return this.#policy === 'inline';
    if (byteCount > this.#inlineBytesMax) return false;
    if (!this.#isSlow) return true;
    this.#untilProbe -= 1;
    return this.#untilProbe <= 0;
  }

  /** An inline transfer took so long. */
  took(byteCount: number, elapsedMs: number): void {
    const waitUs = Math.max(0, elapsedMs * 1000 - byteCount / COPY_BYTES_PER_US);
    if (this.#isSlow) {
      this.#probed(waitUs <= WAIT_US_MAX);
      return;
    }
    this.#waitUs += (Math.min(waitUs, WAIT_US_CLAMP) - this.#waitUs) * SMOOTHING;
    if (this.#waitUs <= WAIT_US_MAX) return;
    this.#isSlow = true;
    this.#quickProbes = 0;
    this.#probeGap = PROBE_GAP_MIN;
    this.#untilProbe = PROBE_GAP_MIN;
  }

  #probed(wasQuick: boolean): void {
    if (wasQuick) {
      this.#quickProbes += 1;
      this.#probeGap = PROBE_GAP_MIN;
    } else {
      this.#quickProbes = 0;
      this.#probeGap = Math.min(this.#probeGap * 2, PROBE_GAP_MAX);
    }
    this.#untilProbe = this.#probeGap;
    if (this.#quickProbes < QUICK_PROBES_NEEDED) return;
    this.#isSlow = false;
    this.#waitUs = 0;
  }
}
