/**
 * The devices on other NBD servers that tables use.
 *
 * One that has failed stays so as long as its table has it, as a disk that went offline. A table
 * that names it again is given a new one: it has another identity in each of its lives.
 */

import { lookup } from 'node:dns/promises';
import { statSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Clock } from '../../base/clock.ts';
import { ELOOP } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import type { Logger } from '../../base/log.ts';
import { printable } from '../../base/printable.ts';
import type { NbdDevice } from '../../nbd/client/nbd-device.ts';
import { openNbdDevice } from '../../nbd/client/open-nbd-device.ts';
import { parseRemoteName, remoteIdentity } from '../../nbd/client/remote-name.ts';
import type { ListenAddress } from '../../nbd/transport.ts';
import { loadClientTls } from '../tls/client-credentials.ts';

export interface RemoteDevicesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where this process listens itself. */
  readonly ownAddresses: () => readonly ListenAddress[];
}

interface Life {
  readonly device: NbdDevice;
  readonly count: number;
}

export class RemoteDevices {
  readonly #options: RemoteDevicesOptions;
  readonly #lives = new Map<string, Life>();

  constructor(options: RemoteDevicesOptions) {
    this.#options = options;
  }

  /** Another one once the device has failed. @throws UserError for a name that means nothing. */
  identify(name: string): string {
    const identity = remoteIdentity(parseRemoteName(name));
    const count = this.#nextLife(identity);
    return count === 1 ? identity : `${identity} life ${count}`;
  }

  /** @throws UserError; for an export of this process, too. */
  async open(name: string, readOnly: boolean): Promise<NbdDevice> {
    const remote = parseRemoteName(name);
    const { clock, log, ownAddresses } = this.#options;
    if (await isOwn(remote.address, ownAddresses())) {
      throw new UserError(
        'device-loop',
        `Cannot open "${printable(name, 200)}": it is served by this process, ` +
          'must be on another server',
        { errno: ELOOP, hint: 'A device of this server is named /dev/mapper/NAME in a table.' },
      );
    }
    const identity = remoteIdentity(remote);
    const count = this.#nextLife(identity);
    const device = await openNbdDevice(name, { readOnly, clock, log, loadTls: loadClientTls });
    this.#lives.set(identity, { device, count });
    return device;
  }

  /** None waits for its server any more: before a stop, which would wait with it. */
  stopWaiting(): void {
    for (const { device } of this.#lives.values()) device.stopWaiting();
  }

  #nextLife(identity: string): number {
    const life = this.#lives.get(identity);
    if (life === undefined) return 1;
    return life.device.hasFailed ? life.count + 1 : life.count;
  }
}

/** Whoever connects there meets this very process, and would wait for itself. */
async function isOwn(address: ListenAddress, own: readonly ListenAddress[]): Promise<boolean> {
  if (address.kind === 'unix') {
    return own.some((one) => one.kind === 'unix' && isSameSocket(one.path, address.path));
  }
  const candidates = own.flatMap((one) =>
    one.kind === 'tcp' && one.port === address.port ? [one.host] : [],
  );
  if (candidates.length === 0) return false;
  const targets = await addressesOf(address.host);
  const local = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  const isLocal = targets.some((target) => local.some((one) => one.address === target));
  return candidates.some((host) => {
    const listensEverywhere = host === '0.0.0.0' || host === '::';
    return listensEverywhere ? isLocal : targets.includes(host);
  });
}

function isSameSocket(one: string, other: string): boolean {
  if (one === other) return true;
  // Abstract sockets have no file.
  if (one === '' || one.startsWith('\0') || other.startsWith('\0')) return false;
  const [first, second] = [one, other].map((path) => statSync(path, { throwIfNoEntry: false }));
  if (first === undefined || second === undefined) return false;
  return first.dev === second.dev && first.ino === second.ino;
}

async function addressesOf(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    // Connecting will say what is wrong with the host.
    return [host];
  }
}
