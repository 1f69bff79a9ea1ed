/**
 * A client that does everything right, on an export of its own: whatever others do to the server,
 * it is answered, and what it reads is what it has written.
 */

import { MemoryDevice } from '../../src/block/memory-device.ts';
import * as wire from '../support/nbd-wire.ts';
import { FuzzTransport } from './fuzz-transport.ts';

const SECTORS = 16;
const SECTOR = 512;

export class HonestClient {
  readonly transport: FuzzTransport;
  readonly #exportName: string;
  readonly #usesTls: boolean;
  #received: Buffer[] = [];
  #round = 0;

  constructor(exportName: string, usesTls: boolean) {
    this.#exportName = exportName;
    this.#usesTls = usesTls;
    const onBytes = (bytes: Buffer): void => void this.#received.push(bytes);
    this.transport = new FuzzTransport({ readBytesMax: 2 ** 20, onBytes });
  }

  static device(): MemoryDevice {
    return new MemoryDevice({ name: 'honest', sizeSectors: SECTORS });
  }

  /** @throws Error when it cannot attach. */
  start(settle: () => void): void {
    this.transport.feed(wire.clientFlags());
    if (this.#usesTls) {
      this.transport.feed(wire.option(5));
      settle();
      this.transport.feedHello();
      settle();
    }
    this.transport.feed(wire.exportName(this.#exportName));
    settle();
    const bytes = this.#take();
    if (bytes.length !== (this.#usesTls ? 48 : 28))
      throw new Error('the honest client was not let in');
  }

  /** Writes a sector and reads it again. @throws Error when that is not what comes back. */
  exchange(settle: () => void): void {
    this.#round += 1;
    const cookie = BigInt(this.#round);
    const offset = (this.#round % SECTORS) * SECTOR;
    const data = Buffer.alloc(SECTOR, this.#round & 0xff);
    this.transport.feed(
      Buffer.concat([wire.write(offset, data, cookie), wire.read(offset, SECTOR, cookie)]),
    );
    settle();
    const expected = Buffer.concat([
      wire.simpleReply(0, cookie),
      wire.simpleReply(0, cookie, data),
    ]);
    const bytes = this.#take();
    if (!bytes.equals(expected)) {
      throw new Error(`the honest client got ${bytes.length} bytes, must be ${expected.length}`);
    }
  }

  #take(): Buffer {
    return Buffer.concat(this.#received.splice(0));
  }
}
