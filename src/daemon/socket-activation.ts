/**
 * Sockets that a parent opened for us: systemd's protocol, which libnbd speaks as well. They begin
 * at descriptor 3, and are meant for the process that LISTEN_PID names.
 */

import { UserError } from '../base/failure.ts';

const FIRST_DESCRIPTOR = 3;
const DESCRIPTORS_MAX = 64;

/**
 * The descriptors; none when there is no activation. Takes the variables out of the environment.
 *
 * @throws UserError naming the variable.
 */
export function takeActivationSockets(environment: NodeJS.ProcessEnv, pid: number): number[] {
  const { LISTEN_PID: pidWord, LISTEN_FDS: countWord } = environment;
  // They are ours alone: a program that we start must not believe that they are its own.
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  if (pidWord === undefined || countWord === undefined || Number(pidWord) !== pid) return [];
  const count = Number(countWord);
  if (!Number.isInteger(count) || count < 1 || count > DESCRIPTORS_MAX) {
    throw new UserError(
      'bad-activation',
      `Cannot take over sockets: LISTEN_FDS is "${countWord}", must be 1 to ${DESCRIPTORS_MAX}`,
    );
  }
  return Array.from({ length: count }, (_unused, index) => FIRST_DESCRIPTOR + index);
}
