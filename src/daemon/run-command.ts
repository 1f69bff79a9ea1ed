/** Runs another program with our standard streams. */

import { spawn } from 'node:child_process';

/** Ends when it has ended. @returns what went wrong where it could not be run, else null. */
export function runCommand(words: readonly string[]): Promise<string | null> {
  const [program = '', ...rest] = words;
  return new Promise((resolve) => {
    const child = spawn(program, rest, { stdio: 'inherit' });
    child.on('error', (error) => resolve(`Cannot run "${program}": ${error.message}`));
    child.on('close', () => resolve(null));
  });
}
