/** `logd` from beginning to end: start, announce, wait for a signal, stop, exit status. */

import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { openDevice } from '../../block/open-device.ts';
import type { ClusterContext } from '../../cluster/cluster-context.ts';
import { clusteredLogs } from '../../cluster/clustered-logs.ts';
import { localLogs } from '../../cluster/local-log.ts';
import { LogServer } from '../../cluster/log-server.ts';
import type { LogSurroundings } from '../../cluster/served-log.ts';
import type { NbdDevice } from '../../nbd/client/nbd-device.ts';
import { openNbdDevice } from '../../nbd/client/open-nbd-device.ts';
import { isRemoteName } from '../../nbd/client/remote-name.ts';
import { createMissingFile } from '../devices/any-device.ts';
import { createLogger } from '../loggers.ts';
import { removePidFile, writePidFile } from '../pid-file.ts';
import { productVersion } from '../product-version.ts';
import { sayToStdout } from '../say-to-stdout.ts';
import { StopSignals } from '../stop-signals.ts';
import { SystemClock } from '../system-clock.ts';
import { loadClientTls } from '../tls/client-credentials.ts';
import { logSocketOf } from './log-server-address.ts';
import { LogSocket } from './log-socket.ts';
import { type ClusterOptions, describeCluster, joinCluster, planCluster } from './logd-cluster.ts';
import { type ClusterStatus, StatusSocket } from './logd-status.ts';

export interface LogdOptions extends ClusterOptions {
  readonly socket?: string;
  /** Makes files of logs that are missing. */
  readonly create: boolean;
  readonly pidFile?: string;
  readonly logJson: boolean;
  readonly verbose: boolean;
  readonly quiet: boolean;
}

/** How long a log of this node alone is kept for a mirror that has gone. */
const LOCAL_ORPHAN_MS = 600_000;

/** Ends with the exit status. @throws UserError when it cannot start. */
export async function runLogd(options: LogdOptions): Promise<number> {
  const clock = new SystemClock();
  const signals = new StopSignals(clock);
  const { logJson: json, verbose } = options;
  const log = await createLogger({ json, verbose, statusLine: null });
  const path = logSocketOf(options.socket, process.env);
  const plan = planCluster(options, process.env);
  const context = await joinCluster(plan, { clock, log, stopped: signals.first });
  const remote: RemoteDevices = new Set();
  const around = surroundings({ clock, log, create: options.create, remote });
  const server = new LogServer({
    implementations: [...localLogs(around), ...clusteredLogs(context, around)],
    log,
    orphans: { clock, sharedAfterMs: plan.leaseMs, localAfterMs: LOCAL_ORPHAN_MS },
  });
  const status = new StatusSocket({
    status: () => describe(server, describeCluster(plan, context)),
    forget: (uuid) => server.forget(uuid),
  });
  const socket = new LogSocket(server, { clock, log });
  try {
    await status.listen(path);
    await socket.listen(path);
    if (options.pidFile !== undefined) writePidFile(options.pidFile, process.pid);
    if (!options.quiet) sayToStdout()(`ready: ${path}`);
    await signals.first;
    return 0;
  } finally {
    await socket.close();
    await status.close();
    for (const device of remote) device.deref()?.stopWaiting();
    await stop(server, context);
    if (options.pidFile !== undefined) removePidFile(options.pidFile, process.pid);
    signals.release();
  }
}

/**
 * A mirror whose log is in use goes on, as long as it was promised to be left alone: then the lease
 * is not given back before its time.
 */
async function stop(server: LogServer, context: ClusterContext): Promise<void> {
  const isInUse = (await server.list()).some(({ state }) => state === 'resumed');
  await server.stop();
  await context.lease.stop({ giveBack: !isInUse });
  await context.engine.close();
}

function surroundings({ clock, log, create, remote }: SurroundingsOptions): LogSurroundings {
  const now = (): number => clock.now();
  return {
    clock,
    log,
    openDevice: async (name, neededBytes) => {
      if (isRemoteName(name)) {
        const loadTls = loadClientTls;
        const device = await openNbdDevice(name, { readOnly: false, clock, log, loadTls });
        for (const other of remote) if (other.deref() === undefined) remote.delete(other);
        remote.add(new WeakRef(device));
        return device;
      }
      if (create && createMissingFile(name, neededBytes)) {
        log.info(`created "${name}"`, { bytes: neededBytes });
      }
      return openDevice(name, { readOnly: false, shared: true, now });
    },
  };
}

/** As long as a log has them: a log server lives longer than its logs. */
type RemoteDevices = Set<WeakRef<NbdDevice>>;

interface SurroundingsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly create: boolean;
  /** Log devices on other servers are noted here. */
  readonly remote: RemoteDevices;
}

async function describe(server: LogServer, cluster: ClusterStatus | null) {
  const logs = await server.list();
  return {
    pid: process.pid,
    version: productVersion(),
    cluster,
    requests: server.requestCounts,
    logs: logs.map(({ luid, ...rest }) => ({ ...rest, luid: luid.toString(16) })),
  };
}
