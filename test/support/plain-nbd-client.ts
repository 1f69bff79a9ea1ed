/**
 * A small NBD client for tests, independent of the product's codec so that both cannot share a
 * mistake.
 *
 * It speaks the fixed newstyle handshake with EXPORT_NAME, and simple replies only; any number of
 * requests may be in flight. A request in flight when the connection is lost is rejected with
 * `ConnectionLost`: whether it took effect is not known.
 */

import { connect, type NetConnectOpts, type Socket } from 'node:net';

const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const OPTION_MAGIC = 'IHAVEOPT';
const OPTION_EXPORT_NAME = 1;
const CLIENT_FLAGS = 3;
const FLAG_FUA = 1;
const REQUEST_BYTES = 28;
const REPLY_BYTES = 16;
const COMMANDS = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, zeroes: 6 } as const;

export class ConnectionLost extends Error {}

/** An error reply; `code` is NBD's number. */
export class NbdError extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`NBD error ${code}`);
    this.code = code;
  }
}

const SHUTDOWN = 108;

/** The server is gone, or about to go: what became of the request is not known. */
export function isLost(error: unknown): boolean {
  return error instanceof ConnectionLost || (error instanceof NbdError && error.code === SHUTDOWN);
}

interface InFlight {
  readonly readLength: number;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: Error) => void;
}

export class PlainNbdClient {
  readonly sizeBytes: number;
  readonly transmissionFlags: number;
  readonly #socket: Socket;
  readonly #inFlight = new Map<bigint, InFlight>();
  #received = Buffer.alloc(0);
  #lastCookie = 0n;
  #lost: ConnectionLost | null = null;

  private constructor(socket: Socket, exported: Buffer) {
    this.#socket = socket;
    this.sizeBytes = Number(exported.readBigUInt64BE(0));
    this.transmissionFlags = exported.readUInt16BE(8);
    socket.on('data', (data) => this.#receive(data));
    socket.on('error', () => this.#lose());
    socket.on('close', () => this.#lose());
  }

  static async connect(place: NetConnectOpts, exportName = ''): Promise<PlainNbdClient> {
    const socket = connect(place);
    const lost = new Promise<never>((_, reject) => {
      socket.once('error', () => reject(new ConnectionLost('Connection failed')));
      socket.once('close', () => reject(new ConnectionLost('Connection closed in the handshake')));
    });
    const greeting = await Promise.race([readExactly(socket, 18), lost]);
    if (greeting.toString('latin1', 0, 16) !== `NBDMAGIC${OPTION_MAGIC}`) {
      throw new Error(`Not a newstyle NBD server: ${greeting.toString('hex')}`);
    }
    const name = Buffer.from(exportName);
    const option = Buffer.alloc(20);
    option.writeUInt32BE(CLIENT_FLAGS, 0);
    option.write(OPTION_MAGIC, 4, 'latin1');
    option.writeUInt32BE(OPTION_EXPORT_NAME, 12);
    option.writeUInt32BE(name.length, 16);
    socket.write(Buffer.concat([option, name]));
    return new PlainNbdClient(socket, await Promise.race([readExactly(socket, 10), lost]));
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#request('read', offset, length);
  }

  async write(offset: number, data: Uint8Array, options?: { fua?: boolean }): Promise<void> {
    await this.#request('write', offset, data.length, data, options?.fua ? FLAG_FUA : 0);
  }

  async flush(): Promise<void> {
    await this.#request('flush', 0, 0);
  }

  async trim(offset: number, length: number): Promise<void> {
    await this.#request('trim', offset, length);
  }

  async zeroes(offset: number, length: number): Promise<void> {
    await this.#request('zeroes', offset, length);
  }

  /** Says goodbye and waits until the server has closed. */
  async close(): Promise<void> {
    if (this.#lost !== null) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.end(encodeRequest('disconnect', 0n, 0, 0, 0));
    await closed;
  }

  /** Vanishes without a word. */
  vanish(): void {
    this.#socket.destroy();
  }

  #request(
    command: keyof typeof COMMANDS,
    offset: number,
    length: number,
    payload: Uint8Array | null = null,
    flags = 0,
  ): Promise<Buffer> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    this.#lastCookie += 1n;
    const cookie = this.#lastCookie;
    return new Promise((resolve, reject) => {
      const readLength = command === 'read' ? length : 0;
      this.#inFlight.set(cookie, { readLength, resolve, reject });
      const header = encodeRequest(command, cookie, offset, length, flags);
      this.#socket.write(payload === null ? header : Buffer.concat([header, payload]));
    });
  }

  #receive(data: Buffer): void {
    this.#received = Buffer.concat([this.#received, data]);
    while (this.#takeReply());
  }

  #takeReply(): boolean {
    if (this.#received.length < REPLY_BYTES) return false;
    const magic = this.#received.readUInt32BE(0);
    const code = this.#received.readUInt32BE(4);
    const cookie = this.#received.readBigUInt64BE(8);
    const request = this.#inFlight.get(cookie);
    if (magic !== REPLY_MAGIC || request === undefined) {
      throw new Error(`Not a reply of mine: ${this.#received.subarray(0, 16).toString('hex')}`);
    }
    const end = REPLY_BYTES + (code === 0 ? request.readLength : 0);
    if (this.#received.length < end) return false;
    const data = this.#received.subarray(REPLY_BYTES, end);
    this.#received = this.#received.subarray(end);
    this.#inFlight.delete(cookie);
    if (code === 0) request.resolve(data);
    else request.reject(new NbdError(code));
    return true;
  }

  #lose(): void {
    this.#lost ??= new ConnectionLost('Connection lost');
    for (const request of this.#inFlight.values()) request.reject(this.#lost);
    this.#inFlight.clear();
  }
}

function encodeRequest(
  command: keyof typeof COMMANDS,
  cookie: bigint,
  offset: number,
  length: number,
  flags: number,
): Buffer {
  const header = Buffer.alloc(REQUEST_BYTES);
  header.writeUInt32BE(REQUEST_MAGIC, 0);
  header.writeUInt16BE(flags, 4);
  header.writeUInt16BE(COMMANDS[command], 6);
  header.writeBigUInt64BE(cookie, 8);
  header.writeBigUInt64BE(BigInt(offset), 16);
  header.writeUInt32BE(length, 24);
  return header;
}

/** The handshake's next bytes; what came with them too early is left to be read again. */
function readExactly(socket: Socket, length: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const attempt = (): void => {
      const data = socket.read(length) as Buffer | null;
      if (data === null) return;
      socket.removeListener('readable', attempt);
      resolve(data);
    };
    socket.on('readable', attempt);
    attempt();
  });
}
