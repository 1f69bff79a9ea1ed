/**
 * The mirror with its log at a log server: another process of the same machine, which keeps the log
 * on the machine's log device. The wire between them may have a bad day, and the server may be
 * killed and started again while the mirror lives.
 */

import { assert } from '../../base/assert.ts';
import { silentLogger } from '../../base/log.ts';
import { Prng } from '../../base/prng.ts';
import { Bio } from '../../block/bio.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { localLogs } from '../../cluster/local-log.ts';
import { LogServer } from '../../cluster/log-server.ts';
import { LogChannel } from '../../dirtylog/userspace/log-channel.ts';
import { createUserspaceLogType } from '../../dirtylog/userspace/userspace-log.ts';
import { createMirrorTargetType } from '../../mirror/mirror-target.ts';
import { LogWire, type WireFaults } from './log-wire.ts';
import { type MirrorTable, tableLine } from './machine-setup.ts';
import { mirrorStackWith } from './mirror-stack.ts';
import type { SimStack, StackEnvironment, StackFactory } from './sim-stack.ts';

export interface LogServerMishaps {
  readonly seed: string;
  readonly wire: WireFaults;
  /** It is killed after at most so long, and again and again; 0: never. */
  readonly killedWithinMs: number;
  /** And started again after at most so long. */
  readonly awayMsMax: number;
  readonly integratedFlush: boolean;
}

export function logServerStack(mishaps: LogServerMishaps): StackFactory {
  return async (environment) => {
    const { clock } = environment;
    const prng = new Prng(mishaps.seed);
    const wire = new LogWire({ clock, prng: prng.fork('wire'), faults: mishaps.wire });
    const channel = new LogChannel({ transport: wire, clock, log: silentLogger, firstLuid: 1n });
    const { clearDelayMs = 0 } = environment.table;
    const mirrorType = createMirrorTargetType({
      logTypes: [createUserspaceLogType(channel)],
      clearDelayMs,
    });
    const server = new MortalServer(environment, wire);
    const stack = await mirrorStackWith(mirrorType, (table) => userspaceLine(table, mishaps))(
      environment,
    );
    if (mishaps.killedWithinMs === 0) return stack;
    const killer = new Killer(environment, server, mishaps, prng.fork('killer'));
    return stoppedWith(stack, () => killer.stop());
  };
}

/** `mirror disk 2 log 8` becomes `mirror userspace 4 sim-log disk log 8`. */
function userspaceLine(table: MirrorTable, { integratedFlush }: LogServerMishaps): string {
  const line = tableLine(table);
  const found = /^(.* mirror) (\w+) (\d+) (.*)$/.exec(line);
  assert(found !== null, `The table is no mirror: ${line}`);
  const [, mirror, log, count, rest] = found;
  const flag = integratedFlush ? 'integrated_flush ' : '';
  const words = Number(count) + 2 + (integratedFlush ? 1 : 0);
  return `${mirror} userspace ${words} sim-log ${flag}${log} ${rest}`;
}

/** The server's process: what a killed one was about to do, it does not do. */
class MortalServer {
  readonly #environment: StackEnvironment;
  readonly #wire: LogWire;
  #life = { alive: true };

  constructor(environment: StackEnvironment, wire: LogWire) {
    this.#environment = environment;
    this.#wire = wire;
    this.start();
  }

  start(): void {
    const life = { alive: true };
    this.#life = life;
    const { clock, devices } = this.#environment;
    const implementations = localLogs({
      clock,
      log: silentLogger,
      openDevice: async (name) => {
        const device = devices.get(name);
        assert(device !== undefined, `The machine has no device "${name}"`);
        return heldBy(life, device);
      },
    });
    const server = new LogServer({ implementations, log: silentLogger });
    this.#wire.serve({
      connected: (client) => server.connected(client),
      disconnected: (client) => server.disconnected(client),
      handle: (client, message) => {
        if (life.alive) server.handle(client, message);
      },
    });
  }

  /** Its connections end when the next one is there, so that nobody has to look for it. */
  replace(): void {
    this.#wire.cut();
    this.start();
  }

  kill(): void {
    this.#life.alive = false;
  }
}

function heldBy(life: { readonly alive: boolean }, device: BlockDevice): BlockDevice {
  return {
    name: device.name,
    sizeSectors: device.sizeSectors,
    logicalBlockSize: device.logicalBlockSize,
    capabilities: device.capabilities,
    submit: (bio) => {
      if (!life.alive) return;
      const { op, sector, count, data, fua } = bio;
      device.submit(
        new Bio({
          op,
          sector,
          count,
          // The process may be gone when the device takes it.
          data: op === 'write' && data !== null ? Uint8Array.from(data) : data,
          fua,
          onEnd: (_bio, result) => {
            if (life.alive) bio.end(result);
          },
        }),
      );
    },
    // The machine keeps its devices.
    close: async () => undefined,
  };
}

class Killer {
  readonly #environment: StackEnvironment;
  readonly #server: MortalServer;
  readonly #mishaps: LogServerMishaps;
  readonly #prng: Prng;
  #stopped = false;

  constructor(
    environment: StackEnvironment,
    server: MortalServer,
    mishaps: LogServerMishaps,
    prng: Prng,
  ) {
    this.#environment = environment;
    this.#server = server;
    this.#mishaps = mishaps;
    this.#prng = prng;
    this.#killLater();
  }

  stop(): void {
    this.#stopped = true;
  }

  #killLater(): void {
    const { killedWithinMs, awayMsMax } = this.#mishaps;
    const { clock } = this.#environment;
    clock.after(this.#prng.between(1, killedWithinMs * 10) / 10, () => {
      if (this.#stopped) return;
      this.#server.kill();
      // What it had sent to its device arrives before the next one looks.
      clock.after(this.#prng.between(1, awayMsMax), () => {
        this.#server.replace();
        this.#killLater();
      });
    });
  }
}

function stoppedWith(stack: SimStack, before: () => void): SimStack {
  return {
    device: stack.device,
    get eventNumber() {
      return stack.eventNumber;
    },
    suspend: (options) => stack.suspend(options),
    resume: () => stack.resume(),
    reload: (table, options) => stack.reload(table, options),
    status: () => stack.status(),
    stop: () => {
      before();
      return stack.stop();
    },
  };
}
