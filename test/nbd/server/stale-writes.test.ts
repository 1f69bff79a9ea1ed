/**
 * A client that loses a connection sends what was not answered again on another, and goes on from
 * there: whatever its first copies do, in the end the device holds what it wrote last (NBD
 * protocol, 14 and 16.1).
 */

import fc from 'fast-check';
import t from 'tap';
import { byEffort } from '../../support/effort.ts';
import { HeldDevice } from '../../support/nbd-held-device.ts';
import { type MemoryTransport, NbdSession } from '../../support/nbd-session.ts';
import * as wire from '../../support/nbd-wire.ts';

/** Places that are written: whole sectors, and halves, for which sectors are read and modified. */
const PLACES = [
  ...[0, 512, 1024, 1536].map((offset) => ({ offset, length: 512 })),
  ...[2048, 2304, 2560, 2816].map((offset) => ({ offset, length: 256 })),
];
const SLOTS = PLACES.length;
const CONNECTIONS = 2;

interface Pending {
  readonly value: number;
  readonly connection: number;
  readonly cookie: bigint;
}

/** One writer with several connections, who writes nothing to a place that is not answered. */
class Writer {
  readonly device = new HeldDevice(6);
  readonly session = new NbdSession({ device: this.device });
  readonly #clients: MemoryTransport[] = [];
  readonly #pending = new Map<number, Pending>();
  readonly #last: number[] = new Array<number>(SLOTS).fill(0);
  #cookie = 0n;
  #value = 0;
  resent = 0;

  constructor() {
    for (let index = 0; index < CONNECTIONS; index++) this.#clients.push(this.session.attach());
  }

  write(slot: number, connection: number): void {
    if (this.#pending.has(slot)) return;
    this.#value = (this.#value % 250) + 1;
    this.#last[slot] = this.#value;
    this.#send(slot, this.#value, connection);
  }

  /** The device carries out one of the requests that it holds. */
  finish(which: number): void {
    const { held } = this.device;
    if (held.length > 0) this.device.finish(which % held.length);
    this.#settle();
  }

  lose(connection: number, how: 'vanish' | 'feedEnd'): void {
    this.#settle();
    // Nobody hears any more what is answered there.
    this.#clients[connection]![how]();
    this.#clients[connection] = this.session.attach();
    const other = (connection + 1) % CONNECTIONS;
    for (const [slot, pending] of [...this.#pending]) {
      if (pending.connection !== connection) continue;
      this.resent += 1;
      this.#send(slot, pending.value, other);
    }
  }

  finishAll(): void {
    for (let round = 0; this.#pending.size > 0 || this.device.held.length > 0; round++) {
      if (round > 10_000) throw new Error(`${this.#pending.size} writes are never answered`);
      this.finish(round);
    }
  }

  /** Places that do not hold what was written last. */
  wrong(): number[] {
    return this.#last.flatMap((value, slot) => {
      const { offset, length } = PLACES[slot]!;
      const bytes = this.device.bytes.subarray(offset, offset + length);
      return bytes.every((byte) => byte === value) ? [] : [slot];
    });
  }

  #send(slot: number, value: number, connection: number): void {
    this.#cookie += 1n;
    this.#pending.set(slot, { value, connection, cookie: this.#cookie });
    const { offset, length } = PLACES[slot]!;
    this.#clients[connection]!.feed(wire.write(offset, Buffer.alloc(length, value), this.#cookie));
    this.#settle();
  }

  #settle(): void {
    this.session.settle(...this.#clients);
    for (const client of this.#clients) {
      for (const { cookie, error } of wire.parseReplies(client.take())) {
        if (error !== 0) throw new Error(`A write failed with ${error}`);
        for (const [slot, pending] of this.#pending) {
          if (pending.cookie === cookie) this.#pending.delete(slot);
        }
      }
    }
  }
}

t.test('what is sent again on another connection is not overtaken by its first copy', async (t) => {
  const action = fc.oneof(
    { weight: 5, arbitrary: fc.tuple(fc.constant('write'), fc.nat(SLOTS - 1), fc.nat(1)) },
    { weight: 4, arbitrary: fc.tuple(fc.constant('finish'), fc.nat(200), fc.nat(1)) },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom('vanish', 'feedEnd'), fc.nat(1), fc.nat(1)) },
  );
  let resent = 0;
  fc.assert(
    fc.property(fc.array(action, { minLength: 20, maxLength: 120 }), (actions) => {
      const writer = new Writer();
      for (const [what, first, second] of actions) {
        if (what === 'write') writer.write(first, second);
        else if (what === 'finish') writer.finish(first);
        else writer.lose(first, what as 'vanish');
      }
      writer.finishAll();
      resent += writer.resent;
      const wrong = writer.wrong();
      if (wrong.length > 0) throw new Error(`Places ${wrong} hold something older`);
    }),
    { numRuns: byEffort({ quick: 100, standard: 500, full: 20_000 }) },
  );
  t.ok(resent > 0, `${resent} writes were sent again`);
});
