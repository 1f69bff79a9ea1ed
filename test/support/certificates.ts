/** Certificates and keys that a test makes for itself, and a client that uses them. */

import { readFileSync } from 'node:fs';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { REPOSITORY } from './command.ts';
import * as wire from './nbd-wire.ts';
import { mustRun } from './run-program.ts';
import { tempDir } from './temp-dir.ts';
import { requireTool } from './tools.ts';

const GREETING_BYTES = wire.GREETING.length;

/** A folder as `scripts/make-certificates` makes it; null where that is not possible. */
export async function makeCertificates(t: Test): Promise<string | null> {
  if (!requireTool(t, 'openssl')) return null;
  const directory = tempDir(t);
  await renewCertificates(directory);
  return directory;
}

/** All of them, also the authority. */
export async function renewCertificates(directory: string): Promise<void> {
  await mustRun([join(REPOSITORY, 'scripts/make-certificates'), directory]);
}

/** Of a client that has what is in the folder; it believes `ca-cert.pem` of `authority`. */
export function x509Client(directory: string, authority = directory): ConnectionOptions {
  const read = (name: string): string | undefined => {
    try {
      return readFileSync(join(directory, name), 'utf8');
    } catch {
      return undefined;
    }
  };
  return {
    ca: readFileSync(join(authority, 'ca-cert.pem')),
    cert: read('client-cert.pem'),
    key: read('client-key.pem'),
    servername: 'localhost',
  };
}

/** The keys of `keys.psk` in the folder. */
export function pskClient(directory: string): ConnectionOptions {
  const [identity = '', hex = ''] = readFileSync(join(directory, 'keys.psk'), 'utf8')
    .trim()
    .split(':');
  return {
    ciphers: 'PSK+HIGH:TLS_AES_128_GCM_SHA256',
    // There is no certificate to have a name.
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ identity, psk: Buffer.from(hex, 'hex') }),
  };
}

/** A client that sends what it is told, in the clear and then encrypted. */
export class TlsTestClient {
  #socket: Socket | TLSSocket;
  readonly #plain: Socket;
  #received: Buffer = Buffer.alloc(0);
  #hasEnded = false;
  #wake = (): void => {};
  error: Error | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#plain = socket;
    this.#listen(socket);
  }

  /** Behind the greeting and the client's flags. */
  static async connect(place: NetConnectOpts): Promise<TlsTestClient> {
    const client = new TlsTestClient(connect({ ...place, allowHalfOpen: true }));
    await client.receive(GREETING_BYTES);
    client.send(wire.clientFlags());
    return client;
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Received, encrypted or not. */
  get bytesOnWire(): number {
    return this.#plain.bytesRead;
  }

  send(...messages: Uint8Array[]): void {
    this.#socket.write(Buffer.concat(messages));
  }

  /** @throws Error when less comes. */
  async receive(size: number): Promise<Buffer> {
    while (this.#received.length < size) {
      if (this.#hasEnded) {
        const reason = this.error?.message ?? 'end';
        throw new Error(`${this.#received.length} of ${size} bytes came: ${reason}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#received.subarray(0, size);
    this.#received = this.#received.subarray(size);
    return taken;
  }

  /** All replies to one option. */
  async ask(message: Uint8Array): Promise<wire.OptionReplyFields[]> {
    this.send(message);
    const replies: wire.OptionReplyFields[] = [];
    for (;;) {
      const header = await this.receive(20);
      const data = await this.receive(header.readUInt32BE(16));
      replies.push(...wire.parseOptionReplies(Buffer.concat([header, data])));
      const { type } = replies.at(-1)!;
      if (type === wire.ACK || type >= 0x80000000) return replies;
    }
  }

  /** STARTTLS. @throws Error when one of the two does not trust the other. */
  async startTls(options: ConnectionOptions): Promise<void> {
    const [reply] = await this.ask(wire.option(5));
    if (reply!.type !== wire.ACK) throw new Error(`Refused: ${reply!.data.toString()}`);
    const plain = this.#socket;
    plain.removeAllListeners('data').removeAllListeners('end').removeAllListeners('close');
    const secured = connectTls({ ...options, socket: plain });
    this.#socket = secured;
    this.#listen(secured);
    await new Promise<void>((resolve, reject) => {
      secured.once('secureConnect', resolve);
      secured.once('error', reject);
      secured.once('close', () => reject(new Error('closed')));
    });
  }

  /** Until the server has closed. True when it said goodbye first, as TLS wants it. */
  async ended(): Promise<boolean> {
    while (!this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.error === null;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #listen(socket: Socket): void {
    socket.on('data', (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#wake();
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#hasEnded = true;
        this.#wake();
      });
    }
  }
}
