/** `logd` from beginning to end: start, announce, wait for a signal, stop, exit status. */

import type { Logger } from '../base/log.ts';
import { openDevice } from '../block/open-device.ts';
import { localLogs } from '../cluster/local-log.ts';
import { LogServer } from '../cluster/log-server.ts';
import type { LogSurroundings } from '../cluster/served-log.ts';
import { logSocketOf } from './log-server-address.ts';
import { LogSocket } from './log-socket.ts';
import { type ClusterStatus, StatusSocket } from './logd-status.ts';
import { createLogger } from './loggers.ts';
import { removePidFile, writePidFile } from './pid-file.ts';
import { productVersion } from './product-version.ts';
import { StopSignals } from './stop-signals.ts';
import { SystemClock } from './system-clock.ts';

export interface LogdOptions {
  readonly socket?: string;
  readonly pidFile?: string;
  readonly logJson: boolean;
  readonly verbose: boolean;
  readonly quiet: boolean;
}

/** Ends with the exit status. @throws UserError when it cannot start. */
export async function runLogd(options: LogdOptions): Promise<number> {
  const signals = new StopSignals();
  const { logJson: json, verbose } = options;
  const log = await createLogger({ json, verbose, statusLine: null });
  const path = logSocketOf(options.socket, process.env);
  const server = new LogServer({ implementations: localLogs(surroundings(log)), log });
  const status = new StatusSocket(async () => describe(server, null));
  const socket = new LogSocket(server, log);
  try {
    await status.listen(path);
    await socket.listen(path);
    if (options.pidFile !== undefined) writePidFile(options.pidFile, process.pid);
    if (!options.quiet) process.stdout.write(`ready: ${path}\n`);
    await signals.first;
    return 0;
  } finally {
    await socket.close();
    await status.close();
    await server.stop();
    if (options.pidFile !== undefined) removePidFile(options.pidFile, process.pid);
    signals.release();
  }
}

function surroundings(log: Logger): LogSurroundings {
  const clock = new SystemClock();
  return {
    clock,
    log,
    openDevice: (name) => openDevice(name, { readOnly: false, now: () => clock.now() }),
  };
}

async function describe(server: LogServer, cluster: ClusterStatus | null) {
  const logs = await server.list();
  return {
    pid: process.pid,
    version: productVersion(),
    cluster,
    logs: logs.map(({ luid, ...rest }) => ({ ...rest, luid: luid.toString(16) })),
  };
}
