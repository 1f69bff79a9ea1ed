/**
 * `status --watch`: sync, legs, regions, held requests and rates, again and again: in place on a
 * terminal, line by line elsewhere.
 */

import { formatByteSize } from '../base/byte-size.ts';
import { SECTOR_SIZE } from '../base/units.ts';
import type { TargetDetails } from '../control/control-host.ts';
import type { DeviceDescription } from '../control/verbs/device-description.ts';
import { SystemClock } from '../daemon/system-clock.ts';
import {
  type ControlOptions,
  connectControl,
  printRefusal,
  type Shell,
} from './control-session.ts';
import { parseCount, parseInterval } from './parse-count.ts';

const HOME_AND_CLEAR = '\x1b[H\x1b[J';
const BAR_COLUMNS = 30;

export interface WatchOptions extends ControlOptions {
  readonly interval: string;
  readonly count?: string;
}

export interface WatchedDevice extends DeviceDescription {
  readonly targets: readonly {
    readonly start: number;
    readonly length: number;
    readonly type: string;
    readonly line: string;
    readonly details: TargetDetails | null;
  }[];
}

export interface Look {
  readonly atMs: number;
  readonly devices: readonly WatchedDevice[];
}

/** Ends with the exit status; without a count, when it is interrupted or the daemon goes. */
export async function watchStatus(
  shell: Shell,
  inputs: readonly object[],
  options: WatchOptions,
): Promise<number> {
  const intervalMs = parseInterval(options.interval);
  const count =
    options.count === undefined ? Number.POSITIVE_INFINITY : parseCount('--count', options.count);
  const clock = new SystemClock();
  const client = await connectControl(shell, options);
  let before: Look | null = null;
  for (let round = 0; round < count; round++) {
    if (round > 0) await new Promise<void>((resolve) => clock.after(intervalMs, resolve));
    const devices: WatchedDevice[] = [];
    for (const input of inputs) {
      const answer = await client.call('status', input, 'json');
      // The text of a refusal is for people.
      if (answer.status !== 200)
        return printRefusal(shell, await client.call('status', input, 'text'));
      devices.push(...(JSON.parse(answer.body) as { devices: WatchedDevice[] }).devices);
    }
    const look: Look = { atMs: clock.now(), devices };
    const lines = describeLook(look, before);
    shell.out(
      options.json === true
        ? `${JSON.stringify({ devices })}\n`
        : `${shell.isTerminal ? HOME_AND_CLEAR : ''}${lines.join('\n')}\n`,
    );
    before = look;
  }
  return 0;
}

/** What people see of it; rates are those since the look before. */
export function describeLook(look: Look, before: Look | null): string[] {
  if (look.devices.length === 0) return ['No devices found'];
  return look.devices.flatMap((device) => {
    const earlier = before?.devices.find(
      (one) => one.number === device.number && one.name === device.name,
    );
    const seconds = earlier === undefined ? 0 : (look.atMs - before!.atMs) / 1000;
    return [
      describeState(device),
      `  ${describeRequests(device, earlier, seconds)}`,
      ...device.targets.flatMap((target, index) =>
        describeTarget(target, earlier?.targets[index], seconds).map((line) => `  ${line}`),
      ),
    ];
  });
}

function describeState(device: WatchedDevice): string {
  const { name, number, suspended, readOnly, eventNumber, clients } = device;
  const size = formatByteSize(device.sizeSectors * SECTOR_SIZE);
  const words = [
    suspended ? 'suspended' : device.liveTable ? 'active' : 'no table',
    ...(readOnly ? ['read-only'] : []),
    ...(device.inactiveTable ? ['table loaded'] : []),
    `${clients} client${clients === 1 ? '' : 's'}`,
    `event ${eventNumber}`,
  ];
  return `${name} (${number}) ${size}, ${words.join(', ')}`;
}

function describeRequests(
  { requests }: WatchedDevice,
  earlier: WatchedDevice | undefined,
  seconds: number,
): string {
  const { inFlight, deferred } = requests;
  const then = earlier?.requests ?? requests;
  const rates = (count: number, sectors: number): string => {
    if (seconds === 0) return '-/s -/s';
    const bytes = Math.round((sectors * SECTOR_SIZE) / seconds);
    return `${(count / seconds).toFixed(0)}/s ${formatByteSize(bytes)}/s`;
  };
  const reads = rates(requests.reads - then.reads, requests.readSectors - then.readSectors);
  const writes = rates(
    requests.writes - then.writes,
    requests.writtenSectors - then.writtenSectors,
  );
  return `reads ${reads}, writes ${writes}; in flight ${inFlight}, waiting ${deferred}`;
}

type WatchedTarget = WatchedDevice['targets'][number];

function describeTarget(
  target: WatchedTarget,
  earlier: WatchedTarget | undefined,
  seconds: number,
): string[] {
  const { details, start, length, type } = target;
  if (details === null) return [`${start}+${length} ${type}`];
  const { regions, regionCount, legs, heldWrites } = details;
  const inSync = regionCount - (regions.nosync ?? 0) - (regions.recovering ?? 0);
  const states = Object.entries(regions).map(([state, count]) => `${state} ${count}`);
  const losses = Object.entries(details.losses).filter(([, count]) => count > 0);
  return [
    `${start}+${length} ${type} ${describeSync(inSync, target, earlier, seconds)}`,
    `  regions ${states.join(', ')}; held writes ${heldWrites}`,
    ...legs.map(({ name, health, errors, isDefault }) => {
      const primary = isDefault ? ' (primary)' : '';
      return `  leg ${name} ${health}${errors > 0 ? `, ${errors} errors` : ''}${primary}`;
    }),
    ...losses.map(([what, count]) => `  at a loss: ${what} ${count}`),
  ];
}

function describeSync(
  inSync: number,
  target: WatchedTarget,
  earlier: WatchedTarget | undefined,
  seconds: number,
): string {
  const { regionCount, regionSectors } = target.details!;
  const full = Math.floor((BAR_COLUMNS * inSync) / regionCount);
  const bar = `[${'#'.repeat(full)}${'.'.repeat(BAR_COLUMNS - full)}]`;
  const text = `${bar} ${inSync}/${regionCount} in sync`;
  const then = earlier?.details?.regions;
  if (inSync === regionCount || then === undefined || seconds === 0) return text;
  const now = target.details!.regions;
  const copied = (then.nosync ?? 0) - (now.nosync ?? 0);
  const rate = Math.max(0, (copied * regionSectors * SECTOR_SIZE) / seconds);
  return `${text}, ${formatByteSize(Math.round(rate))}/s`;
}
