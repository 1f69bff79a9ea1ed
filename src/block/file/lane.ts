/**
 * Whether a transfer is done inline, on the event loop, or handed to the thread pool.
 *
 * In the page cache an inline call costs 1 to 2 microseconds, and a trip through the pool 13 or
 * more. But an inline call that waits for storage stops everything. So each direction of each
 * device keeps a moving estimate of how long its inline calls wait; once that is too long,
 * transfers go to the pool, and now and then one probes inline whether storage is quick again.
 *
 * On a busy machine a call may also take long because somebody else had the processor. The two are
 * told apart by the thread's voluntary context switches: waiting is one, being pushed aside is
 * not. They are looked at only for a while after a call that took long.
 */

export type AioPolicy = 'auto' | 'inline' | 'pool';

export const AIO_POLICIES: readonly AioPolicy[] = ['auto', 'inline', 'pool'];

export interface LaneMeter {
  /** Milliseconds. */
  now(): number;
  /** How often this thread has waited for something. */
  waitCount(): number;
}

/** Inline calls that wait longer than this, on average, are worse than the pool. */
const WAIT_US_MAX = 60;
/** One call says no more than this. */
const WAIT_US_CLAMP = 1000;
const SMOOTHING = 1 / 16;
/** What copying takes; generous, so that only waiting counts as slow. */
const COPY_BYTES_PER_US = 1500;
/** So many calls are looked at closely after one that took long. */
const SUSPICION_CALLS = 64;
/**
 * Probes: one transfer in so many, less often while they wait, inline again after some that did
 * not.
 */
const PROBE_GAP_MIN = 64;
const PROBE_GAP_MAX = 4096;
const QUICK_PROBES_NEEDED = 4;

export class Lane {
  readonly #policy: AioPolicy;
  readonly #inlineBytesMax: number;
  readonly #meter: LaneMeter | null;
  #waitUs = 0;
  #isSlow = false;
  #suspicionLeft = 0;
  #startedAtMs = 0;
  #waitsAtStart = 0;
  #probeGap = PROBE_GAP_MIN;
  #untilProbe = 0;
  #quickProbes = 0;

  /**
   * Transfers of more than `inlineBytesMax` go to the pool even where they do not wait. Without a
   * meter that is all there is to it.
   */
  constructor(options: {
    policy: AioPolicy;
    inlineBytesMax: number;
    meter: LaneMeter | null;
  }) {
    this.#policy = options.policy;
    this.#inlineBytesMax = options.inlineBytesMax;
    this.#meter = options.policy === 'auto' ? options.meter : null;
  }

  /** Inline calls were found to wait; transfers go to the pool. */
  get isSlow(): boolean {
    return this.#isSlow;
  }

  /** True where the caller should transfer inline, between `begin` and `end`. */
  isInline(byteCount: number): boolean {
    if (this.#policy !== 'auto') return this.#policy === 'inline';
    if (byteCount > this.#inlineBytesMax) return false;
    if (!this.#isSlow) return true;
    this.#untilProbe -= 1;
    return this.#untilProbe <= 0;
  }

  /** An inline transfer begins. */
  begin(): void {
    const meter = this.#meter;
    if (meter === null) return;
    if (this.#isSlow || this.#suspicionLeft > 0) this.#waitsAtStart = meter.waitCount();
    this.#startedAtMs = meter.now();
  }

  /** It has ended, well or not. */
  end(byteCount: number): void {
    const meter = this.#meter;
    if (meter === null) return;
    const elapsedUs = (meter.now() - this.#startedAtMs) * 1000;
    const waitUs = Math.max(0, elapsedUs - byteCount / COPY_BYTES_PER_US);
    if (this.#isSlow) {
      this.#probed(waitUs <= WAIT_US_MAX || meter.waitCount() === this.#waitsAtStart);
    } else if (this.#suspicionLeft > 0) {
      this.#suspected(meter.waitCount() === this.#waitsAtStart ? 0 : waitUs);
    } else if (waitUs > WAIT_US_MAX) {
      this.#suspicionLeft = SUSPICION_CALLS;
      this.#waitUs = 0;
    }
  }

  #suspected(waitUs: number): void {
    this.#suspicionLeft -= 1;
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
    this.#suspicionLeft = SUSPICION_CALLS;
    this.#waitUs = 0;
  }
}
