/**
 * A running server: the mapped device and the sockets before it. Here is the order of starting and
 * stopping.
 *
 * Start: look at every device, load the table, resume (the first write to a log is here), listen.
 * Stop: accept no more, let what is in flight end, suspend, so that every region is clean, close.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import { MirrorTarget } from '../mirror/mirror-target.ts';
import { NbdServer } from '../nbd/server.ts';
import type { ListenAddress } from '../nbd/transport.ts';
import { composeMappedDevice } from './compose.ts';
import { DEFAULT_HOST, DEFAULT_PORT } from './listen-address.ts';
import { prepareDevices } from './prepare-devices.ts';
import type { ServeOptions } from './serve-options.ts';
import type { ServePlan } from './serve-plan.ts';
import { bytesNeeded } from './table-devices.ts';

/** How long requests in flight may take at a stop; held ones would wait for ever. */
const STOP_GRACE_MS = 5000;
const DESCRIPTION_BYTES_MAX = 255;

export interface DaemonEnvironment {
  readonly clock: Clock;
  readonly log: Logger;
  /** Listening sockets of a parent. */
  readonly activationSockets: readonly number[];
}

export class Daemon {
  readonly device: MappedDevice;
  readonly #server: NbdServer;
  readonly #log: Logger;
  /** Holds a socket that nobody asked for by name. */
  readonly #privateDirectory: string | null;

  private constructor(parts: {
    device: MappedDevice;
    server: NbdServer;
    log: Logger;
    privateDirectory: string | null;
  }) {
    this.device = parts.device;
    this.#server = parts.server;
    this.#log = parts.log;
    this.#privateDirectory = parts.privateDirectory;
  }

  /** @throws UserError; everything is closed again then. */
  static async start(
    plan: ServePlan,
    options: ServeOptions,
    environment: DaemonEnvironment,
  ): Promise<Daemon> {
    const { clock, log } = environment;
    const { readOnly } = options;
    await prepareDevices(plan.uses, {
      create: options.create && !readOnly,
      overwriteLog: options.overwriteLog && !readOnly,
      resizeLog: options.resizeLog,
      sharedLegsAllowed: options.leg.length === 0,
      log,
    });
    const device = composeMappedDevice({
      deviceName: options.name === '' ? 'mirror' : options.name,
      readOnly,
      logBytes: new Map(
        plan.uses.filter(({ role }) => role === 'log').map((use) => [use.device, bytesNeeded(use)]),
      ),
      aio: plan.aio,
      throttlePercent: plan.throttlePercent,
      clock,
      log,
    });
    const server = new NbdServer({ clock, log });
    const isPrivate = needsPrivateSocket(plan, options, environment);
    const privateDirectory = isPrivate ? mkdtempSync(join(tmpdir(), 'nbd-mirror-')) : null;
    const daemon = new Daemon({ device, server, log, privateDirectory });
    try {
      await device.load(plan.lines);
      await device.resume();
      const description = describe(plan);
      server.addExport({ name: options.name, description, device, readOnly });
      await daemon.#listen(plan, options, environment);
      return daemon;
    } catch (error) {
      await daemon.stop();
      throw error;
    }
  }

  /** Where clients can connect, the unix socket first. */
  addresses(): ListenAddress[] {
    return this.#server.addresses();
  }

  /** The lines that `dmsetup status` would show. */
  async status(): Promise<readonly string[]> {
    return (await this.device.liveTable?.status('info')) ?? [];
  }

  async stop(): Promise<void> {
    await this.#server.stop({ graceMs: STOP_GRACE_MS });
    this.#reportLosses();
    await this.device.close();
    if (this.#privateDirectory !== null) rmSync(this.#privateDirectory, { recursive: true });
  }

  async #listen(
    plan: ServePlan,
    options: ServeOptions,
    { activationSockets }: DaemonEnvironment,
  ): Promise<void> {
    const server = this.#server;
    const directory = this.#privateDirectory;
    if (directory !== null) await server.listenUnix(join(directory, 'socket'));
    for (const fd of activationSockets) await server.listenFd(fd);
    if (options.socket !== undefined) await server.listenUnix(options.socket);
    for (const { host, port } of plan.tcp) await server.listenTcp(host, port);
    if (server.addresses().length === 0) await server.listenTcp(DEFAULT_HOST, DEFAULT_PORT);
  }

  /** What the kernel does silently and to the user's loss is done too; here it is said. */
  #reportLosses(): void {
    for (const { target } of this.device.liveTable?.targets ?? []) {
      if (!(target instanceof MirrorTarget)) continue;
      const counted = Object.entries(target.counters).filter(([, count]) => count > 0);
      if (counted.length > 0) {
        this.#log.warn('done as the kernel does, at a loss', Object.fromEntries(counted));
      }
    }
  }
}

/** A captive command needs no address of its own choice. */
function needsPrivateSocket(
  plan: ServePlan,
  options: ServeOptions,
  { activationSockets }: DaemonEnvironment,
): boolean {
  const given = activationSockets.length + plan.tcp.length + (options.socket === undefined ? 0 : 1);
  return options.run !== undefined && given === 0;
}

function describe({ lines, uses }: ServePlan): string {
  const legs = uses.filter(({ role }) => role === 'leg').map(({ device }) => device);
  const logs = uses.filter(({ role }) => role === 'log').map(({ device }) => device);
  const types = [...new Set(lines.map(({ type }) => type))].join(', ');
  const text = `${types} of ${legs.join(', ')}${logs.length > 0 ? `, log ${logs.join(', ')}` : ''}`;
  if (legs.length === 0) return types.slice(0, DESCRIPTION_BYTES_MAX);
  return Buffer.byteLength(text) <= DESCRIPTION_BYTES_MAX ? text : `${types}: ${legs.length} legs`;
}
