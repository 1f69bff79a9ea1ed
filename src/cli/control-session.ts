/** One command line that drives a daemon: finds it, asks, prints as `dmsetup` prints. */

import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { UserError } from '../base/failure.ts';
import type { ControlAnswer, ControlClient } from '../control/control-client.ts';

export interface ControlOptions {
  readonly control?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/** As `dmsetup`, whatever it is that went wrong. */
export const FAILED = 1;

/** Adds what all of these commands have. */
export function withControlOptions(command: Command): Command {
  return command
    .option('--json', 'print JSON')
    .option('--control <path|host:port>', 'where the daemon listens for commands')
    .option('--token-file <file>', 'the token for TCP is in this file')
    .helpOption('-h, --help', 'print this');
}

/** @throws UserError for an address, or a token, that is no use. */
export async function connectControl(options: ControlOptions): Promise<ControlClient> {
  const { ControlClient } = await import('../control/control-client.ts');
  const { defaultControlSockets, parseControlAddress } = await import(
    '../control/control-address.ts'
  );
  const { NBD_MIRROR_CONTROL, NBD_MIRROR_TOKEN_FILE } = process.env;
  const candidates = defaultControlSockets(process.env);
  const usual = candidates.find((path) => existsSync(path)) ?? candidates[0]!;
  const address = parseControlAddress(options.control ?? NBD_MIRROR_CONTROL ?? usual);
  const tokenFile = options.tokenFile ?? NBD_MIRROR_TOKEN_FILE;
  if (tokenFile === undefined) return new ControlClient({ address });
  const { readToken } = await import('../daemon/control-token.ts');
  return new ControlClient({ address, token: readToken(tokenFile) });
}

/**
 * Asks once for each of the inputs, in order, until one is refused, and prints the answers: texts as
 * they come, JSON as one value.
 */
export async function callAndPrint(
  options: ControlOptions,
  verb: string,
  inputs: readonly object[],
): Promise<number> {
  return reportErrors(options, async () => {
    const client = await connectControl(options);
    const answers: unknown[] = [];
    let status = 0;
    for (const input of inputs) {
      const answer = await client.call(verb, input, options.json === true ? 'json' : 'text');
      if (answer.status !== 200) {
        status = printRefusal(answer);
        break;
      }
      if (options.json === true) answers.push(JSON.parse(answer.body));
      else process.stdout.write(answer.body);
    }
    if (answers.length > 0) printJson(joinAnswers(answers));
    return status;
  });
}

/** Errors in the same form as refusals by the daemon. */
export async function reportErrors(
  options: ControlOptions,
  work: () => Promise<number>,
): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { formatError, replyOf } = await import('../control/error-reply.ts');
    const reply = replyOf(error);
    process.stderr.write(
      options.json === true ? `${JSON.stringify(reply, null, 2)}\n` : formatError(reply),
    );
    return FAILED;
  }
}

export function printRefusal(answer: ControlAnswer): number {
  const { body } = answer;
  process.stderr.write(body.endsWith('\n') ? body : `${body}\n`);
  return FAILED;
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** @throws UserError with `dmsetup`'s words for it. */
export async function refuse(code: string, message: string, dmsetupLine: string): Promise<never> {
  const { CommandError } = await import('../control/command-error.ts');
  throw new CommandError(new UserError(code, message), dmsetupLine);
}

/** Lists of devices become one list. */
function joinAnswers(answers: readonly unknown[]): unknown {
  if (answers.length === 1) return answers[0];
  return {
    devices: answers.flatMap((answer) => (answer as { devices?: unknown[] }).devices ?? [answer]),
  };
}
