/** A log server and a mirror's side of it in one process, with time and mishaps of their own. */

import type { Clock } from '../../src/base/clock.ts';
import { UserError } from '../../src/base/failure.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Prng } from '../../src/base/prng.ts';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { localLogs } from '../../src/cluster/local-log.ts';
import { LogServer } from '../../src/cluster/log-server.ts';
import type { LogImplementation } from '../../src/cluster/served-log.ts';
import { LogChannel } from '../../src/dirtylog/userspace/log-channel.ts';
import type { UlogMessage } from '../../src/dirtylog/userspace/ulog-codec.ts';
import { createUserspaceLogType } from '../../src/dirtylog/userspace/userspace-log.ts';
import { GOOD_DAY, LogWire, type WireFaults } from '../../src/sim/machine/log-wire.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';

export interface LogServerBedOptions {
  readonly clock?: VirtualClock;
  readonly seed?: string | number;
  readonly faults?: WireFaults;
  readonly devices?: readonly BlockDevice[];
  readonly implementations?: readonly LogImplementation[];
  readonly tap?: (message: UlogMessage, from: 'mirror' | 'server') => void;
}

export class LogServerBed {
  readonly clock: VirtualClock;
  readonly wire: LogWire;
  readonly channel: LogChannel;
  readonly type;
  server: LogServer;
  readonly #options: LogServerBedOptions;

  constructor(options: LogServerBedOptions = {}) {
    this.#options = options;
    this.clock = options.clock ?? new VirtualClock();
    const { tap } = options;
    this.wire = new LogWire({
      clock: this.clock,
      prng: new Prng(options.seed ?? 'log server'),
      faults: options.faults ?? GOOD_DAY,
      ...(tap === undefined ? {} : { tap }),
    });
    this.channel = new LogChannel({
      transport: this.wire,
      clock: this.clock,
      log: silentLogger,
      firstLuid: 1n,
    });
    this.type = createUserspaceLogType(this.channel);
    this.server = this.startServer();
  }

  /** A new server, which knows nothing. */
  startServer(): LogServer {
    const { implementations } = this.#options;
    this.server = new LogServer({
      implementations: implementations ?? this.#localLogs(),
      log: silentLogger,
    });
    this.wire.serve(this.server);
    return this.server;
  }

  /** As by kill -9: without a word. */
  killServer(): void {
    this.wire.cut();
  }

  /** Moves time until the work is done; it must be, within an hour. */
  async until<T>(work: Promise<T>): Promise<T> {
    let ended = false;
    const note = (): void => {
      ended = true;
    };
    work.then(note, note);
    const untilMs = this.clock.now() + 3_600_000;
    await this.clock.advance({ ended: () => ended, untilMs });
    if (!ended) throw new Error('It does not end within an hour');
    return work;
  }

  #localLogs(): readonly LogImplementation[] {
    const { devices = [] } = this.#options;
    return localLogs({
      clock: this.clock as Clock,
      log: silentLogger,
      openDevice: async (name) => {
        const device = devices.find((candidate) => candidate.name === name);
        if (device !== undefined) return unclosed(device);
        throw new UserError('no-device', `Cannot open "${name}": no such device`);
      },
    });
  }
}

/** A killed server closes nothing, and the next one opens it again. */
export function unclosed(device: BlockDevice): BlockDevice {
  return new Proxy(device, {
    get: (target, key) => {
      if (key === 'close') return async () => undefined;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
