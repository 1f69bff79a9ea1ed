/**
 * A running daemon: the mapped devices, the sockets before them, and the control over them. Here is
 * the order of starting and stopping.
 *
 * Start: look at every device, load the table, resume (the first write to a log is here), listen.
 * Stop: take no more commands, accept no more clients, let what is in flight end, suspend each
 * device before those below it, so that every region is clean, close.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { UserError } from '../base/failure.ts';
import type { Logger } from '../base/log.ts';
import { Control } from '../control/control.ts';
import type { LogChannel } from '../dirtylog/userspace/log-channel.ts';
import { type DeviceMap, isDeviceName } from '../dm/device-map.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import { FaultBoard } from '../fault/fault-board.ts';
import { MirrorTarget } from '../mirror/mirror-target.ts';
import { NbdServer } from '../nbd/server/server.ts';
import type { ListenAddress } from '../nbd/transport.ts';
import { composeDeviceMap } from './compose.ts';
import { ControlListener } from './control-listener.ts';
import { prepareDevices } from './devices/prepare-devices.ts';
import { RemoteDevices } from './devices/remote-devices.ts';
import { bytesNeeded } from './devices/table-devices.ts';
import { type EventLoop, IdlePoll } from './idle-poll.ts';
import { DEFAULT_HOST, DEFAULT_PORT } from './listen-address.ts';
import { openLogChannel } from './logd/log-socket-transport.ts';
import { NbdExports } from './nbd-exports.ts';
import type { ServeOptions } from './plan/serve-options.ts';
import type { ServePlan } from './plan/serve-plan.ts';
import { inspectSpares } from './repair/inspect-spares.ts';
import { RepairMonitor } from './repair/repair-monitor.ts';
import { copyLeg, detachLeg } from './repair/split-leg.ts';
import { TableRecordFile } from './repair/table-record.ts';
import { targetDetails } from './target-details.ts';

/** How long requests in flight may take at a stop; held ones would wait for ever. */
const STOP_GRACE_MS = 5000;
/**
 * Of the device that is served from the start, where its export has no name, or one for exports
 * only.
 */
const DEVICE_NAME_DEFAULT = 'mirror';

export interface DaemonEnvironment {
  readonly clock: Clock & EventLoop;
  readonly log: Logger;
  /** Listening sockets of a parent. */
  readonly activationSockets: readonly number[];
  /** Of the product. */
  readonly version: string;
  readonly onDeviceEvent?: (device: MappedDevice) => void;
}

export class Daemon {
  readonly devices: DeviceMap;
  readonly control: Control;
  readonly controlListener: ControlListener;
  readonly #server: NbdServer;
  readonly #exports: NbdExports;
  readonly #log: Logger;
  readonly #faults: FaultBoard;
  readonly #remote: RemoteDevices;
  readonly #record: TableRecordFile;
  readonly #logChannel: LogChannel;
  /** Null where nothing is repaired by itself. */
  readonly #monitor: RepairMonitor | null;
  /** Holds a socket that nobody asked for by name. */
  readonly #privateDirectory: string | null;

  private constructor(
    plan: ServePlan,
    options: ServeOptions,
    environment: DaemonEnvironment,
    privateDirectory: string | null,
  ) {
    const { clock, log, version } = environment;
    this.#log = log;
    this.#privateDirectory = privateDirectory;
    const idlePoll = new IdlePoll(clock, plan.pollUs);
    this.#server = new NbdServer({
      onRequests: () => idlePoll.noteRequests(),
      clock,
      log,
      features: plan.features,
      limits: plan.clients,
      tls: plan.clients.tls.policy,
    });
    this.#exports = new NbdExports(this.#server, log, {
      withAlias: options.qemuBitmap ?? false,
      connectionsMax: plan.clients.connectionsPerExportMax,
      tlsOnly: plan.clients.tls.onlyExports,
    });
    this.#faults = new FaultBoard(clock);
    this.#record = new TableRecordFile({
      paths: plan.repairs.recordPaths,
      sequence: plan.recalled?.sequence ?? 0,
      given: plan.givenLines,
      log,
    });
    this.#logChannel = openLogChannel(plan.logServer, { clock, log });
    this.#remote = new RemoteDevices({
      clock,
      log,
      ownAddresses: () => this.#server.addresses(),
    });
    this.devices = composeDeviceMap({
      remote: this.#remote,
      faults: this.#faults,
      readOnly: options.readOnly,
      logBytes: new Map(
        plan.uses.filter(({ role }) => role === 'log').map((use) => [use.device, bytesNeeded(use)]),
      ),
      aio: plan.aio,
      throttlePercent: plan.throttlePercent,
      logChannel: this.#logChannel,
      clearDelayMs: plan.clearDelayMs,
      clock,
      log,
      onEvent: (device) => {
        const { name, eventNumber } = device;
        this.control.events.publish('event', name, { eventNumber });
        environment.onDeviceEvent?.(device);
        this.#monitor?.noticed(device);
      },
    });
    this.control = new Control({
      devices: this.devices,
      exports: this.#exports,
      faults: this.#faults,
      clock,
      log,
      version,
      instance: nameOfInstance(),
      detailsOf: targetDetails,
      splitLeg: (device, leg, { copyTo, signal }) =>
        copyTo === null
          ? detachLeg(device, leg, this.#record)
          : copyLeg(device, leg, copyTo, signal),
    });
    this.#monitor = this.#createMonitor(plan, environment);
    this.controlListener = new ControlListener(this.control);
  }

  /** @throws UserError; everything is closed again then. */
  static async start(
    plan: ServePlan,
    options: ServeOptions,
    environment: DaemonEnvironment,
  ): Promise<Daemon> {
    checkOneSource(plan, options, environment.activationSockets);
    await prepareDevices(plan.uses, {
      create: options.create && !options.readOnly,
      overwriteLog: options.overwriteLog && !options.readOnly,
      resizeLog: options.resizeLog,
      sharedLegsAllowed: options.leg.length === 0,
      log: environment.log,
    });
    const isPrivate = needsPrivateSocket(plan, options, environment);
    const privateDirectory = isPrivate ? mkdtempSync(join(tmpdir(), 'nbd-mirror-')) : null;
    const daemon = new Daemon(plan, options, environment, privateDirectory);
    try {
      if (plan.lines.length > 0) await daemon.#serve(plan, options.name);
      await daemon.#listen(plan, options, environment);
      await daemon.controlListener.listen(plan.control);
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

  /** The status lines of all devices. */
  async status(): Promise<readonly string[]> {
    const lines: string[] = [];
    for (const { liveTable } of this.devices.list()) {
      lines.push(...((await liveTable?.status('info')) ?? []));
    }
    return lines;
  }

  async stop(): Promise<void> {
    await this.controlListener.stop();
    this.#monitor?.stop();
    const changesEnd = this.control.turns.close();
    // Else what hangs would hang the stop, and what is late put it off.
    this.#faults.releaseHeld();
    this.#remote.stopWaiting();
    for (const device of this.devices.list()) {
      if (device.openCount === this.#exports.clientsOf(device)) continue;
      void this.control.turns.through(device).then(() => device.keepRunning());
    }
    await this.#server.stop({ graceMs: STOP_GRACE_MS });
    await Promise.race([changesEnd, this.#deserted(this.devices.list())]);
    this.#reportLosses();
    await this.#removeAll();
    this.#logChannel.close();
    if (this.#privateDirectory !== null) rmSync(this.#privateDirectory, { recursive: true });
  }

  /** The export's name may be one that no device can have; the default export has none. */
  async #serve(plan: ServePlan, exportName: string): Promise<void> {
    const name = isDeviceName(exportName) ? exportName : DEVICE_NAME_DEFAULT;
    const device = this.devices.create(name);
    await device.load(plan.lines);
    this.#record.follow(device);
    await device.resume();
    this.#exports.showAs(device, exportName);
    if (plan.recalled === null) return;
    const { path: record, unsettled } = plan.recalled;
    this.#log.warn('the table is the one on record, not the one that was given', { record });
    if (unsettled) this.#monitor?.startedUnsettled(device);
  }

  #createMonitor(plan: ServePlan, { clock, log }: DaemonEnvironment): RepairMonitor | null {
    const { policies, spares } = plan.repairs;
    if (policies === null) return null;
    return new RepairMonitor({
      policies,
      record: this.#record,
      inspectSpares: (device) => inspectSpares(this.devices, spares, device),
      clock,
      log,
      runInTurn: (device, work) => this.control.turns.run(device, work),
      publish: (type, device, fields) => this.control.events.publish(type, device, fields),
    });
  }

  /** Those on top first. One whose log server is gone is left as a power cut would leave it. */
  async #removeAll(): Promise<void> {
    const left = new Set<MappedDevice>();
    for (;;) {
      const devices = this.devices.list().filter((device) => !left.has(device));
      const top = devices.find(({ openCount }) => openCount === 0);
      assert(
        top !== undefined || devices.length === 0 || left.size > 0,
        'Mapped devices stand on each other in a circle',
      );
      if (top === undefined) return;
      const removed = this.devices.remove(top).then(() => true);
      const deserted = this.#deserted([top]).then(() => false);
      if (await Promise.race([removed, deserted])) continue;
      left.add(top);
      this.#log.warn('stopped without its log server: regions stay dirty', { device: top.name });
    }
  }

  /** Ends when one of the devices may wait for ever for a log server that is gone. */
  #deserted(devices: readonly MappedDevice[]): Promise<void> {
    return devices.some(usesLogServer) ? this.#logChannel.deserted() : new Promise(() => {});
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
    const tables = this.devices.list().flatMap(({ liveTable }) => liveTable ?? []);
    for (const { target } of tables.flatMap(({ targets }) => targets)) {
      if (!(target instanceof MirrorTarget)) continue;
      const counted = Object.entries(target.counters).filter(([, count]) => count > 0);
      if (counted.length > 0) {
        this.#log.warn('done as the kernel does, at a loss', Object.fromEntries(counted));
      }
    }
  }
}

function usesLogServer({ liveTable }: MappedDevice): boolean {
  const targets = liveTable?.targets.map(({ target }) => target) ?? [];
  return targets.some(
    (target) => target instanceof MirrorTarget && target.set.log.type.name === 'userspace',
  );
}

/** Whoever opens the sockets for us decides where we listen. */
function checkOneSource(
  plan: ServePlan,
  options: ServeOptions,
  activationSockets: readonly number[],
): void {
  const given = options.socket !== undefined ? '--socket' : plan.tcp.length > 0 ? '--listen' : null;
  if (activationSockets.length === 0 || given === null) return;
  throw new UserError(
    'two-sources',
    `Cannot listen: sockets were passed by the parent and ${given} is given, ` +
      'only one of them is allowed',
  );
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

/** Another one in each life of a daemon; the clock that it is made of is not ours to read twice. */
function nameOfInstance(): string {
  const startedAtMs = Math.floor(performance.timeOrigin);
  return startedAtMs.toString(16) + process.pid.toString(16).padStart(6, '0');
}
