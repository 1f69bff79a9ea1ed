/** What the options of `serve` amount to: understood and checked, nothing opened or written yet. */

import { UserError } from '../../base/failure.ts';
import { CLEAR_DELAY_MS_MAX, POLL_US_MAX } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import { AIO_POLICIES, type AioPolicy } from '../../block/file/lane.ts';
import { parseTable, type TableLine, textOf } from '../../dm/table-line.ts';
import type { HandshakeFeatures } from '../../nbd/server/handshake-features.ts';
import { type ControlPlan, isControlled, planControl } from '../control-listener.ts';
import { measureAnyDevice } from '../devices/any-device.ts';
import { type DeviceUse, devicesOfTable } from '../devices/table-devices.ts';
import { parseListenAddress, type TcpAddress } from '../listen-address.ts';
import { logSocketOf } from '../logd/log-server-address.ts';
import { planRepairs, type RepairSettings, recordPaths } from '../repair/repair-settings.ts';
import { type RecalledTable, recallTable } from '../repair/table-record.ts';
import { type ClientSettings, planClients } from './client-settings.ts';
import { parseFeatures } from './nbd-features.ts';
import { readTableFile } from './read-table-file.ts';
import type { ServeOptions } from './serve-options.ts';
import { buildTableLine, usesShortForm } from './short-form.ts';

export interface ServePlan {
  /** Empty where devices are created later only. */
  readonly tableText: string;
  readonly lines: readonly TableLine[];
  readonly uses: readonly DeviceUse[];
  readonly aio: AioPolicy;
  readonly throttlePercent: number;
  /** Path of the log server's socket, whether anybody listens there or not. */
  readonly logServer: string;
  /** Microseconds, see `IdlePoll`. */
  readonly pollUs: number;
  /** Milliseconds by which regions are cleared later than in the kernel. */
  readonly clearDelayMs: number;
  readonly tcp: readonly TcpAddress[];
  readonly features: HandshakeFeatures;
  readonly clients: ClientSettings;
  readonly control: ControlPlan;
  readonly repairs: RepairSettings;
  /** What repair has made of the given table, which `lines` is then. */
  readonly recalled: RecalledTable | null;
  readonly givenLines: readonly TableLine[];
}

/** @throws UserError naming the option. */
export async function planServe(options: ServeOptions, log: Logger): Promise<ServePlan> {
  const aio = parseAio(options.aio ?? 'auto');
  const throttlePercent = parsePercent(options.resyncThrottle ?? '100');
  const pollUs = parseWithin('--poll-us', options.pollUs ?? '64', POLL_US_MAX, 'microseconds');
  const clearDelayMs = parseWithin(
    '--clear-delay',
    options.clearDelay ?? '0',
    CLEAR_DELAY_MS_MAX,
    'milliseconds',
  );
  const tcp = options.listen.map(parseListenAddress);
  const features = parseFeatures(options);
  const clients = planClients(options, log);
  const control = planControl(options, process.env);
  const tableText = await chooseTable(options, isControlled(control));
  const givenLines = tableText === null ? [] : parseTable(tableText);
  const givenUses = devicesOfTable(givenLines);
  const recalled = recallTable(recordPaths(options, givenUses), givenLines);
  const lines = recalled?.lines ?? givenLines;
  return {
    tableText: recalled === null ? (tableText ?? '') : textOf(recalled.lines),
    lines,
    uses: recalled === null ? givenUses : devicesOfTable(lines),
    aio,
    throttlePercent,
    logServer: logSocketOf(options.logServer, process.env),
    pollUs,
    clearDelayMs,
    tcp,
    features,
    clients,
    control,
    repairs: await planRepairs(options, givenUses),
    recalled,
    givenLines,
  };
}

/** Null for none, which is good where tables can be loaded later. */
async function chooseTable(options: ServeOptions, mayBeNone: boolean): Promise<string | null> {
  const forms = [
    ...(usesShortForm(options) ? ['--leg and its companions'] : []),
    ...(options.table.length > 0 ? ['--table'] : []),
    ...(options.tableFile === undefined ? [] : ['--table-file']),
  ];
  if (forms.length === 0 && mayBeNone) return null;
  if (forms.length === 0) {
    throw new UserError(
      'no-table',
      'Cannot serve: nothing to serve, a mirror or a table is required',
      {
        hint: 'For example --size 1G --leg a.img --leg b.img --log disk:log.img --create',
      },
    );
  }
  if (forms.length > 1) {
    throw new UserError(
      'two-tables',
      `Cannot serve: ${forms.join(' and ')} are given, only one of them is allowed`,
    );
  }
  if (options.tableFile !== undefined) return readTableFile(options.tableFile);
  if (options.table.length > 0) return options.table.join('\n');
  return buildTableLine(options, measureAnyDevice);
}

function parseAio(text: string): AioPolicy {
  const found = AIO_POLICIES.find((policy) => policy === text);
  if (found !== undefined) return found;
  throw new UserError(
    'bad-aio',
    `Cannot serve: --aio is "${text}", must be one of ${AIO_POLICIES.join(', ')}`,
  );
}

function parsePercent(text: string): number {
  const percent = /^[0-9]{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (percent >= 1 && percent <= 100) return percent;
  throw new UserError(
    'bad-throttle',
    `Cannot serve: --resync-throttle is "${text}", must be 1 to 100 (percent of the time)`,
  );
}

function parseWithin(option: string, text: string, most: number, unit: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value <= most) return value;
  throw new UserError(
    'bad-option-value',
    `Cannot serve: ${option} is "${text}", must be 0 to ${most} (${unit})`,
  );
}
