/** `nbd-mirror logd`: the log server, and what it knows. */

import { Command } from 'commander';
import type { LogServerStatus, LogStatus } from '../daemon/logd/logd-status.ts';
import type { LogdOptions } from '../daemon/logd/run-logd.ts';
import { formatRange, RegionRanges } from '../inspect/region-ranges.ts';
import { printOut } from './standard-output.ts';

const EXAMPLES = `
A mirror whose log is "userspace" asks this server instead of keeping its log itself:
  nbd-mirror logd --socket /run/logd.sock
  nbd-mirror serve --log-server /run/logd.sock \\
    --table '0 2097152 mirror userspace 4 UUID disk log.img 1024 2 a.img 0 b.img 0'
  nbd-mirror logd status --socket /run/logd.sock

SIGTERM or SIGINT: let go of all logs, exit with 0. Mirrors wait until a server is there again.`;

interface QueryOptions {
  readonly socket?: string;
  readonly json: boolean;
}

export function logdCommand(end: (status: number) => void): Command {
  const command = new Command('logd')
    .summary('serve dirty logs to mirrors whose log is "userspace"')
    .description('Serve dirty logs to mirrors whose log is "userspace".')
    .option('--socket <path>', 'where mirrors connect (default: nbd-mirror-logd.sock in /run)')
    .option('--etcd <url,...>', 'serve logs that nodes share, over this etcd')
    .option('--etcd-cacert <file>', 'authority of the certificates of an https:// etcd')
    .option('--etcd-cert <file>', 'certificate of this node, where etcd asks for one')
    .option('--etcd-key <file>', 'and its key')
    .option('--etcd-user <name[:password]>', 'user of etcd; password: NBD_MIRROR_ETCD_PASSWORD')
    .option('--node <name>', 'with --etcd: name of this node, another one on each')
    .option('--lease <seconds>', 'with --etcd: how long a silent node counts as alive (default: 5)')
    .option('--create', 'make missing files of logs, sparse, of the right size', false)
    .option('--pid-file <file>', 'written when the server is ready')
    .option('--log-json', 'log lines as JSON', false)
    .option('-v, --verbose', 'log more', false)
    .option('-q, --quiet', 'do not print where it listens', false)
    .helpOption('-h, --help', 'print this')
    .addHelpText('after', EXAMPLES)
    .action(async ({ lease, ...options }: LogdOptions & { readonly lease?: string }) => {
      const { runLogd } = await import('../daemon/logd/run-logd.ts');
      end(await runLogd(lease === undefined ? options : { ...options, leaseSeconds: lease }));
    });
  return command
    .addCommand(
      queryCommand('status')
        .description('Print the logs of a running log server.')
        .action(async (_options: QueryOptions, self: Command) => {
          const { status, json } = await ask(self);
          print(json, status, () => formatStatus(status));
          end(0);
        }),
    )
    .addCommand(
      queryCommand('show')
        .description('Print what a running log server knows of one log: its regions and nodes.')
        .argument('<uuid>', 'the log')
        .action(async (uuid: string, _options: QueryOptions, self: Command) => {
          const { status, json } = await ask(self);
          const logs = status.logs.filter((log) => log.uuid === uuid);
          if (logs.length === 0) {
            process.stderr.write(`nbd-mirror: Cannot show log "${uuid}": it is not served here\n`);
            end(1);
            return;
          }
          print(json, logs, () => logs.map(formatLog).join(''));
          end(0);
        }),
    )
    .addCommand(forgetCommand(end));
}

function forgetCommand(end: (status: number) => void): Command {
  return queryCommand('forget')
    .description('Let go of a log whose mirror is gone, and of its device, without waiting longer.')
    .argument('<uuid>', 'the log')
    .action(async (uuid: string, _options: QueryOptions, self: Command) => {
      const { forgetLog } = await import('../daemon/logd/logd-status.ts');
      const { socket, json } = await whereToAsk(self);
      const result = await forgetLog(socket, uuid);
      if (json) print(json, result, () => '');
      if (result.kept > 0 || result.forgotten === 0) {
        const problem = result.kept > 0 ? 'its mirror is connected' : 'it is not served here';
        process.stderr.write(`nbd-mirror: Cannot forget log "${uuid}": ${problem}\n`);
        end(1);
        return;
      }
      end(0);
    });
}

function queryCommand(name: string): Command {
  return new Command(name)
    .option('--socket <path>', 'of the log server (default: as for logd)')
    .option('--json', 'print JSON', false)
    .helpOption('-h, --help', 'print this');
}

async function ask(self: Command): Promise<{ status: LogServerStatus; json: boolean }> {
  const { askLogServer } = await import('../daemon/logd/logd-status.ts');
  const { socket, json } = await whereToAsk(self);
  return { status: await askLogServer(socket), json };
}

/** `--socket` may stand before or behind the word. */
async function whereToAsk(self: Command): Promise<{ socket: string; json: boolean }> {
  const { logSocketOf } = await import('../daemon/logd/log-server-address.ts');
  const { socket, json } = self.optsWithGlobals<QueryOptions>();
  return { socket: logSocketOf(socket, process.env), json };
}

function print(json: boolean, value: unknown, format: () => string): void {
  printOut(json ? `${JSON.stringify(value, null, 2)}\n` : format());
}

function formatStatus({ pid, version, cluster, logs }: LogServerStatus): string {
  const lines = [`server   nbd-mirror ${version}, process ${pid}`];
  if (cluster !== null) {
    const { node, etcd, leaseRemainingMs, leaseMs, problem } = cluster;
    const lease =
      leaseRemainingMs > 0 ? `good for ${leaseRemainingMs} of ${leaseMs} ms` : 'LOST, waiting';
    lines.push(`node     ${node}, lease ${lease}`, `etcd     ${etcd.join(' ')}`);
    if (problem !== null) lines.push(`trouble  etcd: ${problem}`);
  }
  lines.push(`logs     ${logs.length}`);
  for (const { uuid, state, isConnected, log } of logs) {
    const mirror = isConnected ? '' : ', its mirror is gone';
    const synced = `${log.syncCount}/${log.regionCount}`;
    lines.push(`  ${uuid} ${log.implementation} ${state}, ${synced} in sync${mirror}`);
  }
  return `${lines.join('\n')}\n`;
}

/** As in `log show`: neighbours as one. */
function rangesOf(regions: readonly number[]): string {
  const ranges = new RegionRanges<null>(() => true);
  for (const region of regions) ranges.add(region, region, null);
  return ranges.finish().ranges.map(formatRange).join(' ');
}

function formatLog({ uuid, luid, state, isConnected, log }: LogStatus): string {
  const size = `${log.regionCount} of ${log.regionSizeSectors} sectors`;
  const lines = [
    `log      ${uuid} (luid ${luid}), ${log.implementation}, ${state}`,
    `mirror   ${isConnected ? 'connected' : 'gone'}`,
    `regions  ${size}, ${log.syncCount} in sync`,
  ];
  if (log.device !== null)
    lines.push(`device   ${log.device}, written by ${log.writer ?? 'nobody'}`);
  const { recovering } = log;
  lines.push(
    `copying  ${recovering === null ? 'nothing' : `${recovering.region}, by ${recovering.node}`}`,
  );
  for (const { name, isThisNode, marked, markedCount } of log.nodes) {
    const self = isThisNode ? ' (here)' : '';
    const more = markedCount > marked.length ? ' ...' : '';
    const regions = markedCount === 0 ? '' : `: ${rangesOf(marked)}${more}`;
    lines.push(`node     ${name}${self}, ${markedCount} marked${regions}`);
  }
  return `${lines.join('\n')}\n`;
}
