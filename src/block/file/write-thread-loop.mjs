/**
 * The program of the thread of `write-thread.ts`: writes what is in the ring (`write-ring.ts`), in
 * order, for ever. Node loads it by itself, without what loads TypeScript where the sources are run:
 * so it is JavaScript, and imports nothing of ours.
 */

import { workerData } from 'node:worker_threads';
import koffi from 'koffi';

/**
 * Looks before it sleeps, some ten microseconds: of a large request's pieces the next one is there
 * by then, and to be woken takes longer.
 */
const LOOKS = 2000;
const EINTR = 4;
const EIO = 5;

/** @type {import('./write-ring.ts').WriteRing} */
const { counters, jobs, results, layout } = workerData;
const { slots, jobNumbers, submitted, completed } = layout;
/** @type {(fd: number, address: number, size: number, at: number) => number} */
const pwrite = koffi
  .load(null)
  .func('int64_t pwrite(int fd, uintptr_t address, size_t size, int64_t at)');

/**
 * 0, or an errno.
 * @param {number} fd
 * @param {number} address
 * @param {number} length
 * @param {number} position
 */
function writeAll(fd, address, length, position) {
  for (let done = 0; done < length; ) {
    const count = pwrite(fd, address + done, length - done, position + done);
    if (count > 0) done += count;
    else if (count === 0) return EIO;
    else if (koffi.errno() !== EINTR) return koffi.errno() || EIO;
  }
  return 0;
}

for (let done = 0; ; done = (done + 1) | 0) {
  for (let looks = 0; Atomics.load(counters, submitted) === done; looks++) {
    if (looks >= LOOKS) Atomics.wait(counters, submitted, done);
  }
  const slot = done & (slots - 1);
  const [fd = -1, address = 0, length = 0, position = 0] = jobs.subarray(slot * jobNumbers);
  results[slot] = writeAll(fd, address, length, position);
  Atomics.store(counters, completed, (done + 1) | 0);
  Atomics.notify(counters, completed);
}
