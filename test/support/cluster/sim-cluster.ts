/**
 * Nodes of a cluster on a virtual clock: on each a mirror and a log server, two processes that can
 * be killed and stopped; legs and a log device that all of them share; a store, and messages that
 * are late, lost and doubled. Every landing of a write on a leg is looked at.
 */

import { silentLogger } from '../../../src/base/log.ts';
import { Prng } from '../../../src/base/prng.ts';
import { silentProbe } from '../../../src/base/probe.ts';
import type { Sector, SectorCount } from '../../../src/base/units.ts';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { runBio } from '../../../src/block/run-bio.ts';
import type { ClusterContext } from '../../../src/cluster/cluster-context.ts';
import { LogKeys } from '../../../src/cluster/cluster-keys.ts';
import { clusteredLogs } from '../../../src/cluster/clustered-logs.ts';
import { LogReplica } from '../../../src/cluster/log-replica.ts';
import { LogServer } from '../../../src/cluster/log-server.ts';
import { MemoryEngine, MemoryStore } from '../../../src/cluster/memory-engine.ts';
import { NodeLease } from '../../../src/cluster/node-lease.ts';
import type { LogImplementation } from '../../../src/cluster/served-log.ts';
import type { DirtyLogType } from '../../../src/dirtylog/dirty-log.ts';
import { LogChannel, type LogTransport } from '../../../src/dirtylog/userspace/log-channel.ts';
import { createUserspaceLogType } from '../../../src/dirtylog/userspace/userspace-log.ts';
import { MappedDevice } from '../../../src/dm/mapped-device.ts';
import { parseTable } from '../../../src/dm/table-line.ts';
import { TargetTypes } from '../../../src/dm/target-types.ts';
import { UnderlyingDevices } from '../../../src/dm/underlying-devices.ts';
import { createMirrorTargetType } from '../../../src/mirror/mirror-target.ts';
import { type LogServerEnd, LogWire, type WireFaults } from '../../../src/sim/machine/log-wire.ts';
import { VirtualClock } from '../../../src/sim/machine/virtual-clock.ts';
import { askedLogType } from './asked-log.ts';
import { BadWire } from './bad-wire.ts';
import { NodeClock } from './node-clock.ts';
import { NodeDevice } from './node-device.ts';
import { storeLink } from './store-link.ts';

export const REGIONS = 8;
/** Of a region: each node writes one of its own. */
export const REGION_SECTORS = 4;
const SECTORS = REGIONS * REGION_SECTORS;
const LEGS = 2;
export const LEASE_MS = 2000;
const MARGIN_MS = 500;
const UUID = 'shared';
/** Messages arrive, in their order, and some twice. */
const SOCKET: WireFaults = { lostPerMille: 0, doubledPerMille: 20, delayMsMax: 1 };

export interface SimClusterOptions {
  readonly seed: string;
  readonly implementation: 'clustered-core' | 'clustered-disk';
  readonly nosync?: boolean;
  /** Of a hundred messages between log server and store, and what `side` says. */
  readonly lostPercent?: number;
  /**
   * `ours`: our userspace log, over a wire as a socket is. `asking`: one that sends a request at a
   * time, over a wire that loses as many and brings some too late, and asks again soon.
   */
  readonly side?: 'ours' | 'asking';
  /** Puts something else in the place of the log, for a planted bug. */
  readonly alter?: (implementation: LogImplementation) => LogImplementation;
  readonly onEvent?: (event: number) => void;
}

export class SimCluster {
  readonly clock = new VirtualClock();
  readonly store = new MemoryStore(this.clock);
  readonly legs: readonly MemoryDevice[];
  readonly logDevice: MemoryDevice;
  readonly nodes: SimNode[] = [];
  readonly options: SimClusterOptions;
  readonly prng: Prng;
  readonly violations: string[] = [];
  /** Writes that landed although their node's lease was over: of a process that stood still. */
  lateLandings = 0;
  events = 0;
  readonly replica: LogReplica;

  constructor(options: SimClusterOptions) {
    this.options = options;
    this.prng = new Prng(options.seed);
    this.legs = Array.from({ length: LEGS }, (_, leg) => memory(`leg${leg}`, SECTORS));
    if (options.nosync !== true) this.prng.fill(this.legs[1]!.bytes);
    this.logDevice = memory('log', 16);
    // What the store holds, seen without delay.
    this.replica = new LogReplica({
      keys: new LogKeys(UUID),
      regionCount: REGIONS,
      engine: new MemoryEngine(this.store, this.clock),
      log: silentLogger,
      after: (delayMs, task) => void this.clock.after(delayMs, task),
    });
    this.store.watch({
      prefix: new LogKeys(UUID).prefix,
      notify: (changes, revision) => {
        this.replica.adopt(changes, revision);
        this.event();
        this.checkStore();
      },
    });
  }

  node(name: string): SimNode {
    const node = new SimNode(this, name);
    this.nodes.push(node);
    return node;
  }

  event(): void {
    this.events += 1;
    this.options.onEvent?.(this.events);
  }

  delayMs(): number {
    return this.prng.between(1, 20) / 10;
  }

  isLost(): boolean {
    return this.prng.chance(this.options.lostPercent ?? 0, 100);
  }

  fail(what: string): void {
    this.violations.push(`${this.clock.now().toFixed(1)} ms, event ${this.events}: ${what}`);
  }

  /** Runs until the promise has ended; throws if it never does, or takes too long. */
  async until<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let isOver = false;
    const watched = promise.finally(() => {
      isOver = true;
    });
    watched.catch(() => undefined);
    const untilMs = this.clock.now() + limitMs;
    await this.clock.run({ ended: () => isOver, untilMs });
    if (!isOver) throw new Error(`It does not end within ${limitMs} ms`);
    return watched;
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance({ ended: () => false, untilMs: this.clock.now() + ms });
  }

  async untilTrue(what: string, holds: () => boolean, limitMs = 60_000): Promise<void> {
    const untilMs = this.clock.now() + limitMs;
    await this.clock.run({ ended: holds, untilMs });
    if (!holds()) throw new Error(`${what} does not come true within ${limitMs} ms`);
  }

  legsDifferIn(region: number): boolean {
    const from = region * REGION_SECTORS * 512;
    const parts = this.legs.map((leg) => leg.bytes.subarray(from, from + REGION_SECTORS * 512));
    return Buffer.compare(parts[0]!, parts[1]!) !== 0;
  }

  isCovered(region: number): boolean {
    return !this.replica.isClean(region) || this.replica.copying?.region === region;
  }

  /** The clean bit of the region in the log's device. */
  isCleanOnDevice(region: number): boolean {
    return ((this.logDevice.bytes[1024 + (region >> 3)]! >> (region & 7)) & 1) === 1;
  }

  checkStore(): void {
    const { replica } = this;
    const { copying } = replica;
    if (copying !== null && replica.isMarkedByAnother(copying.node, copying.region)) {
      this.fail(`region ${copying.region} is copied by ${copying.node} and marked by another`);
    }
    this.checkLegs();
  }

  checkLegs(): void {
    for (let region = 0; region < REGIONS; region++) {
      if (this.legsDifferIn(region) && !this.isCovered(region) && this.lateLandings === 0) {
        this.fail(`region ${region} differs and counts as clean`);
      }
    }
  }

  /** A write of a mirror reaches a leg. */
  landed(node: SimNode, leg: number, sector: number): void {
    this.event();
    const region = Math.floor(sector / REGION_SECTORS);
    const mayWrite = this.replica.isMarked(node.name, region);
    if (!mayWrite && node.wasCutOff) this.lateLandings += 1;
    else if (!mayWrite) this.fail(`${node.name} writes region ${region} of leg ${leg} unmarked`);
    const isDisk = this.options.implementation === 'clustered-disk';
    if (isDisk && mayWrite && this.isCleanOnDevice(region) && this.replica.sync.test(region)) {
      this.fail(`${node.name} writes region ${region}, which the log's device calls clean`);
    }
    this.checkLegs();
  }
}

let lives = 0;

export class SimNode {
  readonly name: string;
  readonly cluster: SimCluster;
  #serverClock: NodeClock;
  #mirrorClock: NodeClock;
  #server: LogServer | null = null;
  #lease: NodeLease | null = null;
  #device: MappedDevice | null = null;
  readonly #socket: LogWire;
  readonly #badWire: BadWire;
  #channel: LogChannel | null = null;
  /** Nothing between server and store arrives. */
  isPartitioned = false;
  /** Only its lease is not renewed. */
  areRenewalsLost = false;
  wasCutOff = false;
  readonly counters = { transactions: 0, conflicts: 0, unknown: 0 };
  /** What was acknowledged last, and what may be there too, by region. */
  readonly acknowledged = new Map<number, number>();
  readonly inFlight = new Map<number, number[]>();
  #nextValue = 1;

  constructor(cluster: SimCluster, name: string) {
    this.cluster = cluster;
    this.name = name;
    this.#serverClock = new NodeClock(cluster.clock);
    this.#mirrorClock = new NodeClock(cluster.clock);
    const { clock, prng } = cluster;
    this.#socket = new LogWire({ clock, prng: prng.fork(`socket ${name}`), faults: SOCKET });
    this.#badWire = new BadWire(cluster, name);
  }

  get isUp(): boolean {
    return !this.#mirrorClock.isDead && this.#device !== null;
  }

  async start(): Promise<void> {
    await this.startServer();
    await this.startMirror();
  }

  async startServer(): Promise<void> {
    const { cluster } = this;
    this.#serverClock = new NodeClock(cluster.clock);
    const clock = this.#serverClock;
    const engine = storeLink(this, clock);
    lives += 1;
    const lease = new NodeLease({
      engine,
      clock,
      log: silentLogger,
      node: this.name,
      lastsMs: LEASE_MS,
      marginMs: MARGIN_MS,
      identity: `${this.name} ${lives}`,
      hasEnded: (identity) => identity.startsWith(`${this.name} `),
    });
    await lease.start();
    const { counters } = this;
    const context: ClusterContext = { engine, lease, clock, log: silentLogger, counters };
    const openDevice = async (): Promise<BlockDevice> => this.#deviceOver(cluster.logDevice, clock);
    const implementations = clusteredLogs(context, { clock, log: silentLogger, openDevice });
    const { alter } = cluster.options;
    this.#lease = lease;
    this.#server = new LogServer({
      implementations: alter === undefined ? implementations : implementations.map(alter),
      log: silentLogger,
      orphans: { clock, sharedAfterMs: LEASE_MS, localAfterMs: LEASE_MS },
    });
    const end = this.#socketEnd(this.#server, clock);
    if (cluster.options.side === 'asking') this.#badWire.serve(end);
    else this.#socket.serve(end);
  }

  async startMirror(): Promise<void> {
    const { cluster } = this;
    this.#mirrorClock = new NodeClock(cluster.clock);
    const clock = this.#mirrorClock;
    lives += 1;
    const logType = this.#logType(clock, BigInt(lives));
    const device = new MappedDevice({
      name: 'm',
      clock,
      log: silentLogger,
      probe: silentProbe,
      targetTypes: new TargetTypes([createMirrorTargetType({ logTypes: [logType] })]),
      devices: new UnderlyingDevices({
        identify: async (name) => name,
        open: async (name) => this.#deviceOver(cluster.legs[Number(name.slice(3))]!, clock),
      }),
    });
    const { implementation, nosync } = cluster.options;
    const words = [UUID, implementation, ...(implementation === 'clustered-disk' ? ['log'] : [])];
    words.push(String(REGION_SECTORS), ...(nosync === true ? ['nosync'] : []));
    const log = `userspace ${words.length} ${words.join(' ')}`;
    const table = `0 ${SECTORS} mirror ${log} 2 leg0 0 leg1 0`;
    await device.load(parseTable(table));
    await device.resume();
    this.#device = device;
  }

  /** One sector of the region, this node's own; ends with the result. */
  async write(region: number): Promise<number> {
    const value = this.#nextValue;
    this.#nextValue += 1;
    this.inFlight.set(region, [...(this.inFlight.get(region) ?? []), value]);
    const index = this.cluster.nodes.indexOf(this);
    const data = new Uint8Array(512).fill(index + 1);
    new DataView(data.buffer).setUint32(4, value);
    const sector = (region * REGION_SECTORS + index) as Sector;
    const device = this.#device!;
    const result = await runBio(device, { op: 'write', sector, count: 1 as SectorCount, data });
    if (result === 0) this.acknowledged.set(region, value);
    return result;
  }

  /** What is on the leg where this node wrote. */
  valueOn(leg: number, region: number): number {
    const at = (region * REGION_SECTORS + this.cluster.nodes.indexOf(this)) * 512 + 4;
    return new DataView(this.cluster.legs[leg]!.bytes.buffer).getUint32(at);
  }

  async suspend(): Promise<void> {
    await this.#device!.suspend({ noflush: false });
  }

  async resume(): Promise<void> {
    await this.#device!.resume();
  }

  kill(): void {
    this.killServer();
    this.killMirror();
  }

  killServer(): void {
    this.#serverClock.kill();
    this.#socket.cut();
    this.#badWire.cut();
  }

  killMirror(): void {
    this.#mirrorClock.kill();
    this.#device = null;
    this.#channel?.close();
    this.#channel = null;
    this.#badWire.hangUp();
  }

  /** Both processes stand still, as with SIGSTOP. */
  stop(): void {
    this.wasCutOff = true;
    this.#serverClock.stop();
    this.#mirrorClock.stop();
  }

  go(): void {
    this.#serverClock.go();
    this.#mirrorClock.go();
  }

  get mirrorClock(): NodeClock {
    return this.#mirrorClock;
  }

  get hasLease(): boolean {
    return this.#lease?.isGood ?? false;
  }

  /** As with SIGTERM. */
  async stopServer(): Promise<void> {
    await this.#server!.stop();
    await this.#lease!.stop({ giveBack: true });
    this.killServer();
  }

  #deviceOver(device: MemoryDevice, clock: NodeClock): NodeDevice {
    const { cluster } = this;
    const leg = cluster.legs.indexOf(device);
    return new NodeDevice({
      device,
      clock,
      network: cluster.clock,
      delayMs: () => cluster.delayMs(),
      landsAfterDeath: () => cluster.prng.chance(1, 2),
      landed: (sector) => {
        if (leg >= 0) cluster.landed(this, leg, sector);
      },
    });
  }

  #logType(clock: NodeClock, life: bigint): DirtyLogType {
    if (this.cluster.options.side === 'asking') {
      const wire = this.#badWire.from(clock, () => this.#mirrorClock === clock);
      return askedLogType(wire, life);
    }
    const transport: LogTransport = {
      address: this.name,
      connect: ({ received, closed }) =>
        this.#socket.connect({
          received: (bytes) => clock.defer(() => received(bytes)),
          closed: (reason) => clock.defer(() => closed(reason)),
        }),
    };
    const firstLuid = life << 20n;
    this.#channel = new LogChannel({ transport, clock, log: silentLogger, firstLuid });
    return createUserspaceLogType(this.#channel);
  }

  #socketEnd(server: LogServer, clock: NodeClock): LogServerEnd {
    return {
      connected: (client) => server.connected(client),
      disconnected: (client) => {
        if (!clock.isDead) server.disconnected(client);
      },
      handle: (client, message) => {
        clock.defer(() => {
          this.cluster.event();
          server.handle(client, message);
        });
      },
    };
  }
}

function memory(name: string, sectors: number): MemoryDevice {
  return MemoryDevice.of(new Uint8Array(sectors * 512), name);
}
