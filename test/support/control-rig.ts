/**
 * A daemon in this process, with its sockets in a directory of the test's, and command lines that
 * drive it over them: everything but the process itself is real.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Command } from 'commander';
import type { Test } from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import type { Shell } from '../../src/cli/control-session.ts';
import { lifecycleCommands } from '../../src/cli/device-commands.ts';
import { verbFirst } from '../../src/cli/dmsetup-options.ts';
import { faultCommand } from '../../src/cli/fault-command.ts';
import { reportCommands } from '../../src/cli/report-commands.ts';
import { splitCommand } from '../../src/cli/split-command.ts';
import { ControlClient } from '../../src/control/control-client.ts';
import { Daemon } from '../../src/daemon/daemon.ts';
import { readTableFile } from '../../src/daemon/plan/read-table-file.ts';
import { planServe } from '../../src/daemon/plan/serve-plan.ts';
import { SystemClock } from '../../src/daemon/system-clock.ts';
import { NbdClient } from '../../src/nbd/client/nbd-client.ts';
import { tempDir } from './temp-dir.ts';

export interface RigOptions {
  readonly table?: string;
  readonly name?: string;
  /** Another place for its socket. */
  readonly control?: string;
  readonly controlListen?: string;
  readonly controlToken?: string;
}

export interface CommandResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export class ControlRig {
  readonly daemon: Daemon;
  readonly directory: string;
  readonly client: ControlClient;

  private constructor(daemon: Daemon, directory: string) {
    this.daemon = daemon;
    this.directory = directory;
    const address = { kind: 'unix', path: join(directory, 'ctl') } as const;
    this.client = new ControlClient({ address });
  }

  static async start(t: Test, options: RigOptions = {}): Promise<ControlRig> {
    const directory = tempDir(t);
    const { table, name = '', ...words } = options;
    const serveOptions = {
      ...{ leg: [], table: table === undefined ? [] : [table], listen: [], name },
      ...{ handleErrors: false, keepLog: false, create: false, overwriteLog: false },
      ...{ resizeLog: false, readOnly: false, exitWithParent: false, logJson: false },
      ...{ verbose: false, quiet: true },
      socket: join(directory, 'nbd'),
      control: join(directory, 'ctl'),
      ...words,
    };
    const daemon = await Daemon.start(await planServe(serveOptions, silentLogger), serveOptions, {
      clock: new SystemClock(),
      log: silentLogger,
      activationSockets: [],
      version: '1.2.3',
    });
    let stopped = false;
    const rig = new ControlRig(daemon, directory);
    rig.stop = async () => {
      if (!stopped) await daemon.stop();
      stopped = true;
    };
    t.teardown(() => rig.stop());
    return rig;
  }

  stop: () => Promise<void> = async () => {};

  get socket(): string {
    return join(this.directory, 'ctl');
  }

  /** A client of the export of that name. */
  attach(exportName: string): Promise<NbdClient> {
    const address = { kind: 'unix', path: join(this.directory, 'nbd') } as const;
    return NbdClient.connect({ address, exportName });
  }

  /** The answer to a verb, which must be a good one. */
  async json(verb: string, input: object = {}): Promise<Record<string, unknown>> {
    const { status, body } = await this.client.call(verb, input, 'json');
    if (status !== 200) throw new Error(`${verb}: ${status} ${body}`);
    return JSON.parse(body) as Record<string, unknown>;
  }

  /** The status and what is said of a verb that must be refused. */
  async refusal(verb: string, input: object): Promise<Record<string, unknown>> {
    const { status, body } = await this.client.call(verb, input, 'json');
    return { status, ...(JSON.parse(body) as object) };
  }

  /** Runs a command line as the program does, in this process. */
  run(...words: string[]): Promise<CommandResult> {
    return runCommandLine(words, { NBD_MIRROR_CONTROL: this.socket });
  }
}

export interface CommandLineOptions {
  readonly isTerminal?: boolean;
  readonly stdin?: string;
}

export async function runCommandLine(
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
  options: CommandLineOptions = {},
): Promise<CommandResult> {
  const result = { status: 0, out: '', err: '' };
  const shell: Shell = {
    out: (text) => {
      result.out += text;
    },
    err: (text) => {
      result.err += text;
    },
    isTerminal: options.isTerminal ?? false,
    environment,
    readFile: async (path) => (path === '-' ? (options.stdin ?? '') : readTableFile(path)),
    run: async (words) => {
      const ran = spawnSync(words[0]!, words.slice(1), { encoding: 'utf8' });
      result.out += ran.stdout ?? '';
      result.err += ran.stderr ?? '';
    },
    end: (status) => {
      result.status = status;
    },
  };
  const program = new Command('nbd-mirror');
  const commands = [
    ...lifecycleCommands(shell),
    ...reportCommands(shell),
    faultCommand(shell),
    splitCommand(shell),
  ];
  for (const command of commands) {
    command.exitOverride().configureOutput({ writeErr: shell.err, writeOut: shell.out });
    program.addCommand(command);
  }
  await program.parseAsync(verbFirst(words, commands), { from: 'user' });
  return result;
}
