/** `serve` from beginning to end: start, announce, wait for a reason to stop, stop, exit status. */

import { UserError } from '../base/failure.ts';
import type { Logger } from '../base/log.ts';
import { nativeCalls } from '../block/file/native-calls.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import { attachCommands, uriOf } from './attach-commands.ts';
import { type Captive, startCaptive } from './captive.ts';
import { Daemon } from './daemon.ts';
import { createLogger, writeStderr } from './loggers.ts';
import { removePidFile, writePidFile } from './pid-file.ts';
import type { ServeOptions } from './plan/serve-options.ts';
import { planServe, type ServePlan } from './plan/serve-plan.ts';
import { productVersion } from './product-version.ts';
import { ResyncProgress } from './resync-progress.ts';
import { sayToStdout } from './say-to-stdout.ts';
import { takeActivationSockets } from './socket-activation.ts';
import { StatusLine } from './status-line.ts';
import { StopSignals } from './stop-signals.ts';
import { SystemClock } from './system-clock.ts';
import type { TlsSettings } from './tls/tls-settings.ts';

const SIGTERM = 15;

/** Ends with the exit status. @throws UserError when the server cannot start. */
export async function runServer(options: ServeOptions): Promise<number> {
  const clock = new SystemClock();
  const signals = new StopSignals(clock);
  const parentGone = watchParent(options);
  const activationSockets = takeActivationSockets(process.env, process.pid);
  // Standard output belongs to the command that we run, or to the one that started us.
  const isQuiet = options.quiet || options.run !== undefined || activationSockets.length > 0;
  const say = isQuiet ? () => {} : sayToStdout();
  const hasBar = process.stderr.isTTY && !options.logJson && !options.quiet;
  const statusLine = hasBar ? new StatusLine(writeStderr) : null;
  const { logJson: json, verbose } = options;
  const log = await createLogger({ json, verbose, statusLine });

  const plan = await signals.whileStarting(planServe(options, log));
  if (isQuiet) checkTokenIsKept(plan);
  const tableLines = plan.tableText === '' ? [] : plan.tableText.trim().split('\n');
  for (const line of tableLines) say(`table: ${line}`);
  let isReporting = false;
  const starting = Daemon.start(plan, options, {
    clock,
    log,
    activationSockets,
    version: productVersion(),
    onDeviceEvent: (device) => {
      if (isReporting) void reportEvent(device, log);
    },
  });
  const daemon = await signals.whileStarting(starting);
  const progress = new ResyncProgress({ clock, log, statusLine, status: () => daemon.status() });
  try {
    if (options.pidFile !== undefined) writePidFile(options.pidFile, process.pid);
    announce(daemon, options, plan.clients.tls, say);
    daemon.controlListener.warm();
    if (!options.quiet) {
      void progress.start();
      isReporting = true;
    }
    const captive = startCaptiveOf(daemon, options, plan.clients.tls);
    const stopped = Promise.race([signals.first, parentGone]);
    return await (captive === null ? stopped.then(() => 0) : wait(captive, stopped));
  } finally {
    progress.stop();
    await daemon.stop();
    if (options.pidFile !== undefined) removePidFile(options.pidFile, process.pid);
    signals.release();
  }
}

/** @throws UserError where a token is made that nobody is told. */
function checkTokenIsKept({ control }: ServePlan): void {
  if (control.tcp === null || control.tokenFile !== null) return;
  throw new UserError('no-token', 'Cannot listen for commands: the token would be told to nobody', {
    hint: 'Give a file for it with --control-token.',
  });
}

function announce(
  daemon: Daemon,
  options: ServeOptions,
  { policy, forClients }: TlsSettings,
  say: (line: string) => void,
): void {
  const addresses = daemon.addresses();
  const { controlListener, devices } = daemon;
  for (const address of controlListener.addresses) {
    const place = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
    say(`control: ${place}`);
  }
  if (controlListener.madeToken !== null) say(`control token: ${controlListener.madeToken}`);
  for (const address of addresses) {
    if (policy.mode !== 'off') say(`ready: ${uriOf(address, options.name, forClients)}`);
    if (policy.mode !== 'require') say(`ready: ${uriOf(address, options.name)}`);
  }
  const [first] = addresses;
  if (first === undefined || devices.list().length === 0) return;
  say('attach with one of:');
  for (const command of attachCommands(first, options.name, forClients)) say(`  ${command}`);
}

function startCaptiveOf(daemon: Daemon, options: ServeOptions, tls: TlsSettings): Captive | null {
  const [address] = daemon.addresses();
  if (options.run === undefined || address === undefined) return null;
  return startCaptive(options.run, address, options.name, tls);
}

/** The command's own exit status counts, also when it is told to stop. */
async function wait(captive: Captive, stopped: Promise<NodeJS.Signals>): Promise<number> {
  void stopped.then((signal) => captive.stop(signal));
  return captive.ended;
}

/** Never ends without `--exit-with-parent`. */
function watchParent(options: ServeOptions): Promise<NodeJS.Signals> {
  if (!options.exitWithParent) return new Promise(() => {});
  const parent = process.ppid;
  const result = nativeCalls().signalAtParentsEnd(SIGTERM);
  if (result !== 0) {
    throw new UserError('exit-with-parent', 'Cannot follow the parent process', { errno: result });
  }
  // It may have ended before it could be followed.
  return process.ppid === parent ? new Promise(() => {}) : Promise.resolve('SIGTERM');
}

async function reportEvent(device: MappedDevice, log: Logger): Promise<void> {
  const { eventNumber, liveTable } = device;
  for (const line of (await liveTable?.status('info')) ?? []) {
    log.info(`event ${eventNumber}: ${line}`, { device: device.name });
  }
}
