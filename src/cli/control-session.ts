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

/** What a command line has around it; tests have another. */
export interface Shell {
  out(text: string): void;
  err(text: string): void;
  readonly isTerminal: boolean;
  readonly environment: NodeJS.ProcessEnv;
  /** The text of a file; "-" is standard input. @throws UserError */
  readFile(path: string): Promise<string>;
  /** Runs another program; what becomes of it is its own matter. */
  run(words: readonly string[]): Promise<void>;
  /** The command ends with this status. */
  end(status: number): void;
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
export async function connectControl(
  shell: Shell,
  options: ControlOptions,
): Promise<ControlClient> {
  const { ControlClient } = await import('../control/control-client.ts');
  const { defaultControlSockets, parseControlAddress } = await import(
    '../control/control-address.ts'
  );
  const { NBD_MIRROR_CONTROL, NBD_MIRROR_TOKEN_FILE } = shell.environment;
  const candidates = defaultControlSockets(shell.environment);
  const usual = candidates.find((path) => existsSync(path)) ?? candidates[0]!;
  const address = parseControlAddress(options.control ?? NBD_MIRROR_CONTROL ?? usual);
  const tokenFile = options.tokenFile ?? NBD_MIRROR_TOKEN_FILE;
  if (tokenFile === undefined) return new ControlClient({ address });
  const { readToken } = await import('../daemon/control-token.ts');
  return new ControlClient({ address, token: readToken(tokenFile) });
}

/**
 * Asks once for each of the inputs, in order, until one is refused, and prints the answers: texts
 * as they come, or with something `between` them as one line; JSON as one value.
 */
export async function callAndPrint(
  shell: Shell,
  options: ControlOptions,
  verb: string,
  inputs: readonly object[],
  { between = null }: { readonly between?: string | null } = {},
): Promise<number> {
  return reportErrors(shell, options, async () => {
    const client = await connectControl(shell, options);
    const answers: unknown[] = [];
    const texts: string[] = [];
    let status = 0;
    for (const input of inputs) {
      const answer = await client.call(verb, input, options.json === true ? 'json' : 'text');
      if (answer.status !== 200) {
        status = printRefusal(shell, answer);
        break;
      }
      if (options.json === true) answers.push(JSON.parse(answer.body));
      else if (between === null) shell.out(answer.body);
      else texts.push(answer.body.replace(/\n$/, ''));
    }
    if (texts.length > 0) shell.out(`${texts.join(between ?? '')}\n`);
    if (answers.length > 0) shell.out(`${JSON.stringify(joinAnswers(answers), null, 2)}\n`);
    return status;
  });
}

/** Errors in the same form as refusals by the daemon. */
export async function reportErrors(
  shell: Shell,
  options: ControlOptions,
  work: () => Promise<number>,
): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { formatError, replyOf } = await import('../control/error-reply.ts');
    const reply = replyOf(error);
    shell.err(options.json === true ? `${JSON.stringify(reply, null, 2)}\n` : formatError(reply));
    return FAILED;
  }
}

export function printRefusal(shell: Shell, answer: ControlAnswer): number {
  const { body } = answer;
  shell.err(body.endsWith('\n') ? body : `${body}\n`);
  return FAILED;
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
