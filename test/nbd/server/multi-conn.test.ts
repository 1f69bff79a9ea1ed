/**
 * CAN_MULTI_CONN, proven: a flush on one connection covers every write that was acknowledged on any
 * before. Several clients of a mirror whose legs and log have write caches, and a power cut that
 * loses everything they had not made durable.
 */

import fc from 'fast-check';
import t from 'tap';
import { silentLogger } from '../../../src/base/log.ts';
import { Prng } from '../../../src/base/prng.ts';
import { silentProbe } from '../../../src/base/probe.ts';
import { SECTOR_SIZE } from '../../../src/base/units.ts';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { LOG_TYPES } from '../../../src/dirtylog/log-types.ts';
import { MappedDevice } from '../../../src/dm/mapped-device.ts';
import { parseTable } from '../../../src/dm/table-line.ts';
import { TargetTypes } from '../../../src/dm/target-types.ts';
import { UnderlyingDevices } from '../../../src/dm/underlying-devices.ts';
import { PowerDomain } from '../../../src/fault/power-domain.ts';
import { VolatileCache } from '../../../src/fault/volatile-cache.ts';
import { createMirrorTargetType } from '../../../src/mirror/mirror-target.ts';
import { NbdServer } from '../../../src/nbd/server/server.ts';
import { VirtualClock } from '../../../src/sim/machine/virtual-clock.ts';
import { byEffort } from '../../support/effort.ts';
import { MemoryTransport } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';

const SECTORS = 64;
const NAMES = ['leg0', 'leg1', 'log'] as const;
const TABLE = '0 64 mirror disk 3 log 8 nosync 2 leg0 0 leg1 0 1 handle_errors';

/** What a client was told about a request, in the order of all that happened. */
interface Request {
  readonly kind: 'write' | 'flush';
  /** Of a write; each has a sector of its own. */
  readonly sector: number;
  readonly fua: boolean;
  readonly sentAt: number;
  answeredAt: number;
}

class Machine {
  readonly clock = new VirtualClock();
  readonly power = new PowerDomain();
  readonly media = new Map(NAMES.map((name) => [name, new MemoryDevice({ sizeSectors: SECTORS })]));
  readonly caches: ReadonlyMap<string, VolatileCache>;
  readonly requests: Request[] = [];
  readonly #device: MappedDevice;
  readonly #server: NbdServer;
  readonly #clients: MemoryTransport[] = [];
  #step = 0;

  constructor(seed: string) {
    const { clock, power } = this;
    const prng = new Prng(seed);
    const timing = { clock, delayMs: () => prng.between(0, 19) };
    this.caches = new Map(
      [...this.media].map(([name, medium]) => [name, new VolatileCache(medium, { power, timing })]),
    );
    this.#device = new MappedDevice({
      ...{ name: 'm', clock, log: silentLogger, probe: silentProbe },
      targetTypes: new TargetTypes([createMirrorTargetType({ logTypes: LOG_TYPES })]),
      devices: new UnderlyingDevices({
        identify: async (name) => name,
        open: async (name) => this.caches.get(name)!,
      }),
    });
    this.#server = new NbdServer({ clock, log: silentLogger });
  }

  async start(clients: number): Promise<void> {
    await this.#during(this.#device.load(parseTable(TABLE)));
    await this.#during(this.#device.resume());
    this.#server.addExport({ name: '', device: this.#device });
    for (let index = 0; index < clients; index++) {
      const client = new MemoryTransport();
      this.#server.attach(client);
      client.feed(Buffer.concat([wire.clientFlags(), wire.go()]));
      client.take();
      this.#clients.push(client);
    }
  }

  send(client: number, what: { kind: 'write' | 'flush'; sector: number; fua: boolean }): void {
    this.#step += 1;
    const cookie = BigInt(this.requests.length);
    this.requests.push({ ...what, sentAt: this.#step, answeredAt: Number.POSITIVE_INFINITY });
    const payload = Buffer.alloc(SECTOR_SIZE, what.sector + 1);
    const message =
      what.kind === 'flush'
        ? wire.request({ type: wire.FLUSH, cookie })
        : wire.write(what.sector * SECTOR_SIZE, payload, cookie, what.fua ? wire.FUA : 0);
    this.#clients[client]!.feed(message);
  }

  /** Lets time pass, and takes the answers that come. */
  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed++) {
      let isOver = false;
      this.clock.after(1, () => {
        isOver = true;
      });
      await this.clock.run({ ended: () => isOver, untilMs: Number.POSITIVE_INFINITY });
      for (const client of this.#clients) {
        client.drain();
        for (const { cookie, error } of wire.parseReplies(client.take())) {
          if (error !== 0) throw new Error(`Request ${cookie} failed with ${error}`);
          this.#step += 1;
          this.requests[Number(cookie)]!.answeredAt = this.#step;
        }
      }
    }
  }

  /** The power goes, and with it all that the caches need not keep. */
  async cut(): Promise<void> {
    this.power.cut();
    for (const cache of this.caches.values()) await cache.crash(() => 'lost');
  }

  /** On every leg. */
  isDurable(sector: number): boolean {
    const at = sector * SECTOR_SIZE;
    return ['leg0', 'leg1'].every((leg) => {
      const { bytes } = this.media.get(leg as 'leg0')!;
      return bytes.subarray(at, at + SECTOR_SIZE).every((byte) => byte === sector + 1);
    });
  }

  async #during(operation: Promise<void>): Promise<void> {
    let ended = false;
    const done = operation.finally(() => {
      ended = true;
    });
    await this.clock.run({ ended: () => ended, untilMs: Number.POSITIVE_INFINITY });
    await done;
  }
}

/** Writes that must have survived: acknowledged before a flush was sent that was answered. */
function promised(requests: readonly Request[]): Request[] {
  const flushes = requests.filter(
    ({ kind, answeredAt }) => kind === 'flush' && answeredAt < Number.POSITIVE_INFINITY,
  );
  return requests.filter(
    (one) =>
      one.kind === 'write' &&
      one.answeredAt < Number.POSITIVE_INFINITY &&
      (one.fua || flushes.some(({ sentAt }) => one.answeredAt < sentAt)),
  );
}

t.test('a flush on one connection covers what was acknowledged on the others', async (t) => {
  const machine = new Machine('proof');
  await machine.start(3);
  for (let sector = 0; sector < 32; sector++) {
    machine.send(sector % 2, { kind: 'write', sector, fua: false });
  }
  await machine.run(500);
  t.ok(machine.requests.every(({ answeredAt }) => answeredAt < Number.POSITIVE_INFINITY));
  machine.send(2, { kind: 'flush', sector: -1, fua: false });
  await machine.run(500);
  machine.send(0, { kind: 'write', sector: 32, fua: false });
  const last = machine.requests.at(-1)!;
  while (last.answeredAt === Number.POSITIVE_INFINITY) await machine.run(1);
  await machine.cut();
  t.equal(promised(machine.requests).length, 32);
  for (let sector = 0; sector < 32; sector++) t.ok(machine.isDurable(sector), `sector ${sector}`);
  t.notOk(machine.isDurable(32), 'what nobody flushed is lost: the caches are real');
});

t.test('whenever the power goes, flushes have covered all connections', async (t) => {
  const action = fc.record({
    client: fc.nat(2),
    kind: fc.constantFrom('write', 'write', 'write', 'flush'),
    fua: fc.nat(4).map((n) => n === 0),
    thenMs: fc.nat(30),
  });
  let lost = 0;
  let kept = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { minLength: 1, maxLength: 60 }),
      fc.integer(),
      async (actions, seed) => {
        const machine = new Machine(`${seed}`);
        await machine.start(3);
        let sector = 0;
        for (const { client, kind, fua, thenMs } of actions) {
          machine.send(client, { kind: kind as 'write', sector: sector % SECTORS, fua });
          if (kind === 'write') sector += 1;
          await machine.run(thenMs);
        }
        await machine.cut();
        const survivors = promised(machine.requests);
        kept += survivors.length;
        for (const { sector: one } of survivors) {
          if (!machine.isDurable(one)) throw new Error(`Sector ${one} is lost`);
        }
        const answered = machine.requests.filter(
          ({ kind, answeredAt }) => kind === 'write' && answeredAt < Number.POSITIVE_INFINITY,
        );
        lost += answered.filter(({ sector: one }) => !machine.isDurable(one)).length;
      },
    ),
    { numRuns: byEffort({ quick: 20, standard: 100, full: 2000 }) },
  );
  t.ok(kept > 0 && lost > 0, `${kept} writes were promised, ${lost} others were lost`);
});
