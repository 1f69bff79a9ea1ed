/**
 * The targets of one table, in order, without gaps; created, suspended and resumed as one.
 *
 * Counterpart: `struct dm_table`. A table is inert until `bind`: events of its targets before that
 * (the mirror's constructor already takes a turn) are nobody's, as in the kernel.
 */

import type { Clock } from '../base/clock.ts';
import { EINVAL } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import type { Sector, SectorCount } from '../base/units.ts';
import { SECTOR_SIZE, toSectorCount } from '../base/units.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { asInTable } from './device-naming.ts';
import { MAPPED_DEVICE_MAJOR } from './device-numbers.ts';
import { formatTableLine, type TableLine } from './table-line.ts';
import type { DeviceNaming, StatusKind, Target, TargetDevice, TargetType } from './target.ts';
import type { TargetContext } from './target-context.ts';
import type { TargetTypes } from './target-types.ts';

export interface PlacedTarget {
  readonly start: number;
  readonly length: number;
  readonly type: TargetType;
  readonly target: Target;
}

/** What a device over a table offers. */
export interface TableLimits {
  readonly discard: boolean;
  readonly writeZeroes: boolean;
  readonly flush: boolean;
}

/** What a table needs of the mapped device that it is made for. */
export type TableEnvironment = Omit<TargetContext, 'length' | 'event'> & {
  readonly targetTypes: TargetTypes;
  /** Writes and discards are refused. */
  readonly readOnly?: boolean;
};

export class Table {
  readonly targets: readonly PlacedTarget[];
  readonly sizeSectors: SectorCount;
  readonly logicalBlockSize: number;
  readonly readOnly: boolean;
  /** Every device that its targets hold, once, in the order in which they were first asked for. */
  readonly devices: readonly BlockDevice[];
  #onEvent: (() => void) | null = null;

  private constructor(parts: {
    readonly targets: readonly PlacedTarget[];
    readonly devices: readonly BlockDevice[];
    readonly readOnly: boolean;
  }) {
    const { targets } = parts;
    this.targets = targets;
    this.devices = parts.devices;
    this.readOnly = parts.readOnly;
    this.sizeSectors = toSectorCount(targets.reduce((end, { length }) => end + length, 0));
    this.logicalBlockSize = targets
      .flatMap(({ target }) => target.devices)
      .filter(({ length }) => length > 0)
      .reduce((size, { device }) => Math.max(size, device.logicalBlockSize), SECTOR_SIZE);
  }

  /** @throws UserError naming the line at fault; every target made before is destroyed again. */
  static async create(environment: TableEnvironment, lines: readonly TableLine[]): Promise<Table> {
    const placed: PlacedTarget[] = [];
    const devices = new Set<BlockDevice>();
    let table: Table | null = null;
    try {
      let end = 0;
      for (const [index, line] of lines.entries()) {
        if (index > 0 && index % LINES_AT_A_TIME === 0) await pause(environment.clock);
        checkPlace(line, end);
        const type = environment.targetTypes.get(line.type);
        const context: TargetContext = {
          ...environment,
          length: toSectorCount(line.length),
          getDevice: async (name, options) => {
            const device = await environment.getDevice(name, options);
            devices.add(device);
            return device;
          },
          putDevice: (device) => environment.putDevice(device),
          noflushSuspending: () => environment.noflushSuspending(),
          event: () => table?.event(),
        };
        const target = await type.create(context, line.args);
        placed.push({ start: line.start, length: line.length, type, target });
        end = line.start + line.length;
      }
      for (const { target, type } of placed) {
        for (const used of target.devices) checkArea(type.name, used);
      }
      const readOnly = environment.readOnly ?? false;
      table = new Table({ targets: placed, devices: [...devices], readOnly });
      return table;
    } catch (error) {
      for (const { target } of placed.reverse()) await target.destroy();
      throw error;
    }
  }

  /**
   * As the devices below are now; a log does not count. Counterpart: `dm_table_set_restrictions`.
   */
  limits(): TableLimits {
    const targets = this.targets.map(({ target }) => target);
    return {
      discard: targets.every((target) => target.discardSupported),
      writeZeroes: targets.every((target) => target.writeZeroesSupported),
      flush: targets.some(
        ({ flushSupported, devices }) =>
          flushSupported &&
          devices.some(({ device, length }) => length > 0 && device.capabilities.flush !== false),
      ),
    };
  }

  /** The table goes live: from now on events reach `onEvent`; null when it retires. */
  bind(onEvent: (() => void) | null): void {
    this.#onEvent = onEvent;
  }

  event(): void {
    this.#onEvent?.();
  }

  /** The target that holds a sector of the table, which must be inside. */
  find(sector: Sector): PlacedTarget {
    let low = 0;
    let high = this.targets.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.targets[middle]!.start <= sector) low = middle;
      else high = middle - 1;
    }
    return this.targets[low]!;
  }

  async presuspend(): Promise<void> {
    await Promise.all(this.targets.map(({ target }) => target.presuspend()));
  }

  async postsuspend(): Promise<void> {
    for (const { target } of this.targets) await target.postsuspend();
  }

  async resume(): Promise<void> {
    for (const { target } of this.targets) await target.resume();
  }

  async destroy(): Promise<void> {
    this.bind(null);
    for (const { target } of this.targets) await target.destroy();
  }

  /** One line a target: what `dmsetup status` and `dmsetup table` print. */
  async status(kind: StatusKind, nameOf: DeviceNaming = asInTable): Promise<string[]> {
    const lines: string[] = [];
    for (const placed of this.targets) {
      lines.push(`${placeOf(placed)} ${await placed.target.status(kind, nameOf)}`);
    }
    return lines;
  }

  /** One line a target: what the kernel would report for measurement. */
  measure(nameOf: DeviceNaming = asInTable): string[] {
    return this.targets.map((placed) => {
      const { name, version } = placed.type;
      const report = placed.target.measure?.(nameOf) ?? '';
      const about = `target_name=${name},target_version=${version.join('.')},`;
      return `${placeOf(placed)} ${report === '' ? '' : `${about}${report};`}`;
    });
  }
}

/** A table may have tens of thousands of lines, and other devices have clients. */
const LINES_AT_A_TIME = 256;

function pause(clock: Clock): Promise<void> {
  return new Promise((resolve) => void clock.after(0, resolve));
}

/** The first three words of its lines. */
function placeOf({ start, length, type }: PlacedTarget): string {
  return formatTableLine({ start, length, type: type.name, args: [] });
}

function checkPlace(line: TableLine, end: number): void {
  const what = `Cannot create target ${quoted(line.type)}`;
  if (line.length === 0) {
    throw new UserError('bad-table', `${what}: length is 0 sectors, must be positive`, {
      kernelMessage: 'zero-length target',
      errno: EINVAL,
    });
  }
  if (line.start !== end) {
    throw new UserError(
      'bad-table',
      `${what}: start is ${line.start}, must be ${end}, where the target before it ends`,
      { kernelMessage: 'Gap in table', errno: EINVAL },
    );
  }
}

/**
 * Specification 1.4, row 15. A device without a size, or one that is no data area, is not checked.
 */
function checkArea(typeName: string, { device, start, length }: TargetDevice): void {
  const size = device.sizeSectors;
  if (length === 0 || size === 0) return;
  if (start >= size || start + length > size) {
    throw new UserError(
      'device-too-small',
      `Cannot create target "${typeName}": device "${device.name}" has ${size} sectors, ` +
        `must have at least ${start + length} (start ${start} and length ${length})`,
      {
        kernelMessage:
          `${kernelName(device.name)} too small for target: ` +
          `start=${start}, len=${length}, dev_size=${size}`,
        errno: EINVAL,
      },
    );
  }
  const blockSectors = device.logicalBlockSize / SECTOR_SIZE;
  if (start % blockSectors !== 0 || length % blockSectors !== 0) {
    throw new UserError(
      'misaligned',
      `Cannot create target "${typeName}": start ${start} and length ${length} on device ` +
        `"${device.name}" must be multiples of its logical block, ${blockSectors} sectors`,
      { errno: EINVAL },
    );
  }
}

/** The kernel's name of a device: `vdb` of /dev/vdb, `dm-1` of 253:1. */
function kernelName(name: string): string {
  if (name.startsWith(`${MAPPED_DEVICE_MAJOR}:`)) return `dm-${name.split(':')[1]}`;
  return name.slice(name.lastIndexOf('/') + 1);
}
