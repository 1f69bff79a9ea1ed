/**
 * What each block of a device may read as, given which writes had ended when others were submitted:
 * the contract of `block-device.ts` as a judge. Of writes in flight together either may be the
 * last; what has been read while nothing was in flight stays.
 */

import { SECTOR_SIZE } from '../../src/base/units.ts';

interface Version {
  readonly stamp: number;
  readonly submittedAt: number;
  endedAt: number;
}

export class BlockHistory {
  readonly #versions: Version[][];
  #now = 0;
  #lastStamp = 0;

  constructor(blocks: number) {
    const zero = { stamp: 0, submittedAt: -1, endedAt: -1 };
    this.#versions = Array.from({ length: blocks }, () => [zero]);
  }

  /** A write of these blocks is submitted; gives its data, and whom to tell when it has ended. */
  write(first: number, count: number): { data: Uint8Array; ended: () => void } {
    this.#lastStamp += 1;
    const stamp = this.#lastStamp;
    const submittedAt = this.#tick();
    const written = Array.from({ length: count }, () => ({
      stamp,
      submittedAt,
      endedAt: Number.POSITIVE_INFINITY,
    }));
    for (const [index, version] of written.entries()) this.#versions[first + index]!.push(version);
    const data = new Uint8Array(count * SECTOR_SIZE);
    new Uint32Array(data.buffer).fill(stamp);
    const ended = (): void => {
      const endedAt = this.#tick();
      for (const version of written) version.endedAt = endedAt;
    };
    return { data, ended };
  }

  /** A read of these blocks is submitted; gives whom to tell what it has found. */
  read(first: number, count: number): (data: Uint8Array) => string[] {
    const submittedAt = this.#tick();
    return (data) => {
      const stamps = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
      const perBlock = SECTOR_SIZE / 4;
      const endedAt = this.#tick();
      return Array.from({ length: count }, (_, index) => {
        const found = stamps[index * perBlock]!;
        return this.#judge(first + index, found, submittedAt, endedAt);
      }).filter((complaint) => complaint !== null);
    };
  }

  /** Complaints about a medium that must hold all that has ended; nothing is in flight. */
  judgeMedium(bytes: Uint8Array): string[] {
    return this.read(0, this.#versions.length)(bytes);
  }

  #judge(block: number, found: number, submittedAt: number, endedAt: number): string | null {
    const versions = this.#versions[block]!;
    const isOver = (one: Version): boolean =>
      versions.some((other) => other.submittedAt > one.endedAt && other.endedAt < submittedAt);
    const allowed = versions.filter((one) => one.submittedAt < endedAt && !isOver(one));
    const version = allowed.find(({ stamp }) => stamp === found);
    if (version === undefined) {
      const wanted = allowed.map(({ stamp }) => stamp).join(' or ');
      return `block ${block} reads as write ${found}, must be ${wanted}`;
    }
    const isQuiet = versions.every((one) => one.endedAt < submittedAt || one.submittedAt > endedAt);
    if (isQuiet)
      this.#versions[block] = [version, ...versions.filter((one) => one.submittedAt > endedAt)];
    return null;
  }

  #tick(): number {
    this.#now += 1;
    return this.#now;
  }
}
