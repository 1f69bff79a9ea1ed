/** Standard output of commands that answer and end: what becomes of them when nobody takes it. */

import { escapeControls } from '../base/printable.ts';

/** What a shell says of a program that a broken pipe has ended; there is nobody to tell more. */
const EXIT_BROKEN_PIPE = 141;
const EXIT_LOST = 1;

let isWatched = false;

/** Where the text cannot be written the process ends, with a status other than 0. */
export function printOut(text: string): void {
  if (!isWatched) process.stdout.on('error', endLost);
  isWatched = true;
  process.stdout.write(text);
}

function endLost(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT_BROKEN_PIPE);
  process.stderr.write(`nbd-mirror: Cannot write the answer: ${escapeControls(error.message)}\n`);
  process.exit(EXIT_LOST);
}
