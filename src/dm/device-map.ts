/**
 * Mapped devices by name, uuid and number, and the devices that their tables name: files, numbers,
 * and other mapped devices. Counterpart: the hash of names in dm-ioctl.
 *
 * Invariant: a device that is in use, by a client or by another device's table, is not removed.
 */

import type { Clock } from '../base/clock.ts';
import { EBUSY, EINVAL, ENXIO } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { Logger } from '../base/log.ts';
import { quoted } from '../base/printable.ts';
import type { Probe } from '../base/probe.ts';
import type { BlockDevice } from '../block/block-device.ts';
import {
  DeviceNumbers,
  isDeviceNumber,
  isOurMajor,
  MAPPED_DEVICE_MAJOR,
} from './device-numbers.ts';
import { MappedDevice } from './mapped-device.ts';
import { MappedDeviceHandle } from './mapped-device-handle.ts';
import type { DeviceNaming } from './target.ts';
import type { DeviceUse } from './target-context.ts';
import type { TargetTypes } from './target-types.ts';
import { type DeviceOpener, UnderlyingDevices } from './underlying-devices.ts';

/** Names of 127 and uuids of 128 characters are the kernel's longest. */
const NAME_LENGTH_MAX = 127;
const UUID_LENGTH_MAX = 128;
const MAPPED_IDENTITY = 'mapped ';

export interface DeviceMapOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly probe: Probe;
  readonly targetTypes: TargetTypes;
  /** Opens what is no mapped device. */
  readonly opener: DeviceOpener;
  /** Devices can be read only. */
  readonly readOnly?: boolean;
  /** A device's event number has risen. */
  readonly onEvent?: (device: MappedDevice) => void;
}

export class DeviceMap {
  readonly targetTypes: TargetTypes;
  readonly #options: DeviceMapOptions;
  readonly #numbers = new DeviceNumbers();
  readonly #underlying: UnderlyingDevices;
  readonly #byMinor = new Map<number, MappedDevice>();
  readonly #identities = new WeakMap<BlockDevice, string>();

  constructor(options: DeviceMapOptions) {
    this.#options = options;
    this.targetTypes = options.targetTypes;
    this.#underlying = new UnderlyingDevices({
      identify: (name) => this.#identify(name),
      open: (name, use) => this.#open(name, use),
      isOpenedByEach: (identity) => identity.startsWith(MAPPED_IDENTITY),
    });
  }

  /** All mapped devices, in the order of their numbers. */
  list(): MappedDevice[] {
    return [...this.#byMinor.values()].sort((one, other) => one.minor - other.minor);
  }

  /**
   * A new device without a table. Without a `minor` it gets the lowest free one.
   *
   * @throws UserError for a name, uuid or minor that is bad or taken.
   */
  create(
    name: string,
    options: { uuid?: string; readOnly?: boolean; minor?: number } = {},
  ): MappedDevice {
    const uuid = options.uuid ?? '';
    this.checkFree(name, uuid);
    const { clock, log, probe, targetTypes, readOnly, onEvent } = this.#options;
    const minor = this.#numbers.takeMinor(options.minor ?? null);
    if (minor === null) {
      throw new UserError(
        'device-exists',
        `Cannot create device "${name}": number ${MAPPED_DEVICE_MAJOR}:${options.minor} is taken`,
        { errno: ENXIO },
      );
    }
    const device = new MappedDevice({
      name,
      uuid,
      minor,
      readOnly: options.readOnly ?? readOnly ?? false,
      clock,
      log,
      probe,
      targetTypes,
      devices: this.#underlying,
      ...(onEvent === undefined ? {} : { onEvent }),
    });
    this.#byMinor.set(minor, device);
    return device;
  }

  /** @throws UserError unless a device could be created with them. */
  checkFree(name: string, uuid: string): void {
    checkName(name);
    checkUuid(uuid);
    this.#checkNotTaken(`create device "${name}"`, name, uuid);
  }

  /** @throws UserError for a name that is bad or taken, by this device too. */
  rename(device: MappedDevice, name: string): void {
    checkName(name);
    this.#checkNotTaken(`rename device "${device.name}"`, name, '');
    device.rename({ name });
  }

  /** A device gets its uuid once. @throws UserError */
  setUuid(device: MappedDevice, uuid: string): void {
    checkUuid(uuid);
    const action = `set the uuid of device "${device.name}"`;
    this.#checkNotTaken(action, null, uuid);
    if (device.uuid !== '' || uuid === '') {
      const problem = uuid === '' ? 'it is empty' : `it has the uuid "${device.uuid}" already`;
      throw new UserError('bad-uuid', `Cannot ${action}: ${problem}`, { errno: EINVAL });
    }
    device.rename({ uuid });
  }

  /** By name, `/dev/mapper/NAME`, `MAJOR:MINOR` or `/dev/dm-MINOR`. @throws UserError */
  get(word: string): MappedDevice {
    const found = this.find(word);
    if (found !== null) return found;
    throw new UserError('no-device', `Cannot find device ${quoted(word)}: there is none`, {
      errno: ENXIO,
      hint: '"nbd-mirror ls" lists the devices.',
    });
  }

  find(word: string): MappedDevice | null {
    return this.list().find((one) => one.name === word) ?? this.#findByPath(word);
  }

  findByUuid(uuid: string): MappedDevice | null {
    return this.list().find((one) => one.uuid === uuid && uuid !== '') ?? null;
  }

  /**
   * Removes a device in order: its log clean, its table gone.
   *
   * @throws UserError while it is in use.
   */
  async remove(device: MappedDevice): Promise<void> {
    if (device.openCount > 0) {
      throw new UserError(
        'device-busy',
        `Cannot remove device "${device.name}": it is in use ${device.openCount} times, ` +
          'must be in use by nobody',
        { errno: EBUSY },
      );
    }
    this.#byMinor.delete(device.minor);
    await device.close();
    this.#numbers.freeMinor(device.minor);
  }

  /** The mapped devices that a device's tables, live or not, stand on. */
  below(device: MappedDevice): MappedDevice[] {
    return device.tables
      .flatMap((table) => table.devices)
      .flatMap((one) => (one instanceof MappedDeviceHandle ? [one.mapped] : []));
  }

  /** `major:minor` of a device below a table, or of a mapped device. */
  numberOf(device: BlockDevice): string {
    const mapped = device instanceof MappedDeviceHandle ? device.mapped : device;
    if (mapped instanceof MappedDevice) return `${MAPPED_DEVICE_MAJOR}:${mapped.minor}`;
    const identity = this.#identities.get(device);
    return identity === undefined ? '0:0' : this.#numbers.ofIdentity(identity);
  }

  /** Names devices in status lines by their numbers. */
  readonly byNumber: DeviceNaming = (device) => this.numberOf(device);

  /**
   * Gives a device a number before any table names it: `number`, or the next free one.
   *
   * @throws UserError where it cannot be found.
   */
  async notice(name: string, number?: string): Promise<string> {
    const identity = await this.#options.opener.identify(name);
    this.#numbers.notice({ identity, name, ...(number === undefined ? {} : { number }) });
    return this.#numbers.ofIdentity(identity);
  }

  async #identify(name: string): Promise<string> {
    const mapped = this.#findByPath(name);
    if (mapped !== null) return `${MAPPED_IDENTITY}${mapped.minor}`;
    return this.#options.opener.identify(this.#pathOf(name));
  }

  async #open(name: string, use?: DeviceUse): Promise<BlockDevice> {
    const mapped = this.#findByPath(name);
    if (mapped !== null) {
      if (mapped.wasLoaded) return new MappedDeviceHandle(mapped, name);
      throw new UserError('no-table', `Cannot open "${name}": it has never had a table`, {
        errno: ENXIO,
        hint: `Load one first, with "nbd-mirror load ${mapped.name}".`,
      });
    }
    const path = this.#pathOf(name);
    const device = await this.#options.opener.open(path, use);
    const identity = await this.#options.opener.identify(path);
    this.#numbers.notice({ identity, name: path });
    this.#identities.set(device, identity);
    return device;
  }

  #checkNotTaken(action: string, name: string | null, uuid: string): void {
    const taken = this.list().find(
      (one) => one.name === name || (uuid !== '' && one.uuid === uuid),
    );
    if (taken === undefined) return;
    const what = taken.name === name ? `name "${name}"` : `uuid "${uuid}"`;
    throw new UserError(
      'device-exists',
      `Cannot ${action}: ${what} is taken by device "${taken.name}"`,
      { errno: EBUSY },
    );
  }

  /**
   * A number that was given here stands for the name under which the device was first seen; one of
   * another major is the host's.
   */
  #pathOf(name: string): string {
    if (!isDeviceNumber(name)) return name;
    const noticed = this.#numbers.find(name);
    if (noticed !== null) return noticed.name;
    if (!isOurMajor(name)) return name;
    throw new UserError(
      'no-device',
      `Cannot open device ${name}: there is no device of this number`,
      {
        errno: ENXIO,
      },
    );
  }

  #findByPath(word: string): MappedDevice | null {
    const minor = /^(?:253:|\/dev\/dm-)(\d{1,10})$/.exec(word)?.[1];
    if (minor !== undefined) return this.#byMinor.get(Number(minor)) ?? null;
    const name = /^\/dev\/mapper\/([^/]+)$/.exec(word)?.[1];
    if (name === undefined) return null;
    return this.list().find((one) => one.name === name) ?? null;
  }
}

/** A device could have this name. */
export function isDeviceName(name: string): boolean {
  return problemOfName(name) === null;
}

function checkName(name: string): void {
  const problem = problemOfName(name);
  if (problem === null) return;
  throw new UserError('bad-name', `Cannot use device name ${quoted(name)}: ${problem}`, {
    errno: EINVAL,
    kernelMessage: 'invalid device name',
  });
}

/** A name also becomes a path and an export's name, so it is printable and without white space. */
function problemOfName(name: string): string | null {
  if (name === '') return 'it is empty';
  if (name.length > NAME_LENGTH_MAX) {
    return `it has ${name.length} characters, at most ${NAME_LENGTH_MAX} are allowed`;
  }
  if (name === '.' || name === '..') return 'it names a directory, must name a device';
  if (/[^\x21-\x7e]|[/\\]/.test(name)) {
    return 'it must consist of printable ASCII characters other than space, slash and backslash';
  }
  return null;
}

function checkUuid(uuid: string): void {
  if (uuid.length <= UUID_LENGTH_MAX && !/[^\x21-\x7e]/.test(uuid)) return;
  throw new UserError(
    'bad-uuid',
    `Cannot use uuid ${quoted(uuid)}: it must be at most ${UUID_LENGTH_MAX} characters, ` +
      'printable ASCII all of them',
    { errno: EINVAL },
  );
}
