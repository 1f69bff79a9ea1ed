/** Runs a script on a machine until the script ends, the power goes, or nothing can go on. */

import type { SimMachine } from './machine/sim-machine.ts';

export type LifeEnd = 'completed' | 'cut' | 'failed';

/** Longer than any script that makes progress, in virtual time. */
const LIFE_MS_MAX = 60_000;

/**
 * Whatever the program throws, at once or in a promise that nobody awaits, is a finding: a broken
 * invariant. What a ghost throws after its power was cut is nobody's business.
 */
export async function live(machine: SimMachine, script: () => Promise<void>): Promise<LifeEnd> {
  let completed = false;
  let failed = false;
  const fail = (error: unknown): void => {
    if (!machine.power.on) return;
    failed = true;
    const text = error instanceof Error ? error.message : String(error);
    machine.find({ checker: 'broken-invariant', message: text });
  };
  process.on('unhandledRejection', fail);
  try {
    script().then(() => {
      completed = true;
    }, fail);
    const ended = (): boolean => completed || failed || !machine.power.on;
    const end = await machine.clock.run({ ended, untilMs: LIFE_MS_MAX });
    if (end !== 'ended') reportStuck(machine, end);
  } catch (error) {
    fail(error);
  } finally {
    process.off('unhandledRejection', fail);
  }
  if (!machine.power.on) return 'cut';
  return completed && !failed ? 'completed' : 'failed';
}

function reportStuck(machine: SimMachine, end: 'idle' | 'out-of-time'): void {
  const why = end === 'idle' ? 'nothing is left to do' : `${LIFE_MS_MAX} ms have passed`;
  machine.find({
    checker: 'held-requests-end',
    message: `${why}, and the script still waits for an answer`,
  });
}
