/** Two legs and a disk log in a directory of the test's own, and the server over them. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { differingRegions, isAllClean, uncoveredRegions } from './log-file.ts';
import { ServerProcess } from './server-process.ts';
import { tempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;

export interface MirrorFilesOptions {
  readonly sizeBytes: number;
  readonly regionBytes: number;
}

export class MirrorFiles {
  readonly directory: string;
  readonly legs: readonly [string, string];
  readonly log: string;
  readonly sizeBytes: number;
  readonly regionBytes: number;
  readonly #test: Test;

  constructor(t: Test, options: MirrorFilesOptions) {
    this.#test = t;
    this.directory = tempDir(t);
    this.legs = [join(this.directory, 'a.img'), join(this.directory, 'b.img')];
    this.log = join(this.directory, 'log.img');
    this.sizeBytes = options.sizeBytes;
    this.regionBytes = options.regionBytes;
  }

  /** Starts the server over the files, making them at the first time. */
  serve(...more: readonly string[]): Promise<ServerProcess> {
    const args = [
      ...['--size', String(this.sizeBytes), '--region-size', `${this.regionBytes / KIB}K`],
      ...this.legs.flatMap((leg) => ['--leg', leg]),
      ...['--log', `disk:${this.log}`, '--handle-errors', '--create'],
    ];
    return ServerProcess.start(this.#test, { directory: this.directory, args: [...args, ...more] });
  }

  /** Until the log says that every region is clean: nothing to recover, and no write under way. */
  async clean(): Promise<void> {
    await waitUntil('all regions to be clean', () => existsSync(this.log) && isAllClean(this.log));
  }

  /** Regions in which the legs are not the same. */
  differing(): number[] {
    return differingRegions(this.legs, this.regionBytes);
  }

  /** Regions in which the legs are not the same although the log says that they are clean. */
  uncovered(): number[] {
    return uncoveredRegions(this.legs, this.log, this.regionBytes);
  }
}
