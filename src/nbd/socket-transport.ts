/**
 * `Transport` over a socket of `node:net`, receiving into buffers chosen per read (`onread`).
 *
 * Node gives that option to sockets that connect only. An accepted socket is therefore paused on
 * arrival, and its handle moved to a new socket that has it; where the handle cannot be had, bytes
 * are received the ordinary way and copied once. So they are behind TLS, which decrypts into
 * buffers of its own.
 */

import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import { assert } from '../base/assert.ts';
import { nativeCalls } from '../block/file/native-calls.ts';
import type { TlsUpgrade } from './tls.ts';
import type { ListenAddress, Transport, TransportSink } from './transport.ts';

/** While reading is stopped the kernel may still hold a place to read to: this one, then copied. */
const PARKING_BYTES = 4096;
/**
 * What a client has not taken yet: a reply of a mebibyte leaves in one call instead of in many,
 * each of which would wait for the event loop. The system allows as much as `net.core.wmem_max`.
 */
const SEND_BUFFER_BYTES = 2 ** 21;
const KEEPALIVE_MS = 60_000;

type SocketWithHandle = { _handle: { readonly fd?: number } | null };
type SocketOptions = SocketConstructorOpts & { handle?: object; onread?: OnReadOpts };

export class SocketTransport implements Transport {
  readonly peer: string;
  readonly address: string | null;
  /** The outermost one: of TLS, once it runs. */
  #socket: Socket;
  #isEncrypted = false;
  #sink: TransportSink | null = null;
  readonly #parking = Buffer.allocUnsafeSlow(PARKING_BYTES);
  #parked = true;
  readonly #onEnd = (): void => this.#sink!.ended();
  readonly #onClose = (): void => this.#sink!.closed();
  readonly #onread: OnReadOpts = {
    buffer: () => (this.#parked ? this.#parking : this.#sink!.window()),
    callback: (size, bytes) => this.#received(size, bytes),
  };

  private constructor(wrap: (onread: OnReadOpts) => Socket, peer: string | null) {
    this.#socket = wrap(this.#onread);
    // Errors of a connection are ordinary; 'close' follows each of them.
    this.#socket.on('error', nothing);
    const { remoteAddress, remotePort } = this.#socket;
    this.address = remoteAddress ?? null;
    this.peer = peer ?? (remoteAddress === undefined ? 'unix' : `${remoteAddress}:${remotePort}`);
  }

  /** Takes over a socket that a server with `pauseOnConnect` and `allowHalfOpen` accepted. */
  static accept(accepted: Socket): SocketTransport {
    const holder = accepted as unknown as SocketWithHandle;
    const handle = holder._handle;
    if (handle === null || handle === undefined) {
      const transport = new SocketTransport(() => accepted, null);
      accepted.on('data', (bytes) => transport.#receivedData(bytes));
      return transport;
    }
    // Without its handle the accepted socket is an empty shell; its server counts it as closed.
    holder._handle = null;
    accepted.destroy();
    const options = { handle, allowHalfOpen: true, readable: true, writable: true };
    return new SocketTransport((onread) => {
      return new Socket({ ...options, onread } as SocketOptions);
    }, null);
  }

  /** Connects. What is sent before the connection stands waits; `onError` tells why it failed. */
  static connect(address: ListenAddress, onError: (error: Error) => void): SocketTransport {
    const isUnix = address.kind === 'unix';
    const peer = isUnix ? address.path : `${address.host}:${address.port}`;
    const transport = new SocketTransport((onread) => {
      return new Socket({ allowHalfOpen: true, onread } as SocketOptions);
    }, peer);
    transport.#socket.on('error', onError);
    transport.#socket.connect(
      isUnix ? { path: address.path } : { host: address.host, port: address.port },
    );
    return transport;
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  get broken(): boolean {
    return this.#socket.errored !== null || this.#socket.destroyed;
  }

  start(sink: TransportSink): void {
    assert(this.#sink === null, 'A transport was started twice');
    this.#sink = sink;
    const socket = this.#socket;
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onClose);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    const fd = this.#fd();
    if (fd >= 0) nativeCalls().setSendBuffer(fd, SEND_BUFFER_BYTES);
    socket.resume();
  }

  /** A write through the stream costs several times what the system call does. */
  sendNow(bytes: Uint8Array): number {
    const socket = this.#socket;
    if (socket.writableLength > 0 || socket.connecting || !socket.writable) return 0;
    // The descriptor below TLS would take them in the clear.
    if (this.#isEncrypted) return 0;
    const fd = this.#fd();
    return fd < 0 ? 0 : nativeCalls().sendNow(fd, bytes);
  }

  send(bytes: Uint8Array, onSent: () => void): void {
    this.#socket.write(bytes, onSent);
  }

  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  resume(): void {
    this.#socket.resume();
  }

  encrypt(upgrade: TlsUpgrade, done: (failure: string | null) => void): void {
    const plain = this.#socket;
    // Behind everything that was sent; what is written to the socket later is encrypted.
    plain.write('', () => {
      if (plain.destroyed) return;
      // Whoever called was in the middle of a read, and has said since that it wants no more.
      assert(this.#parked, 'TLS was started while bytes are read in the clear');
      plain.removeListener('end', this.#onEnd).removeListener('close', this.#onClose);
      // A peer that ends in the middle of the TLS handshake ends it; TLS inherits this.
      plain.allowHalfOpen = false;
      this.#isEncrypted = true;
      upgrade.start(plain, (outcome) => {
        if ('failure' in outcome) {
          done(outcome.failure);
          plain.destroy();
          this.#onClose();
          return;
        }
        plain.allowHalfOpen = true;
        this.#socket = outcome.socket;
        this.#socket.allowHalfOpen = true;
        this.#socket.on('error', nothing).on('end', this.#onEnd).on('close', this.#onClose);
        this.#socket.pause().on('data', (bytes) => this.#receivedData(bytes));
        done(null);
      });
    });
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Never kept: once the handle is closed its number may be another file's. -1: there is none. */
  #fd(): number {
    return (this.#socket as unknown as SocketWithHandle)._handle?.fd ?? -1;
  }

  #received(size: number, bytes: Uint8Array): boolean {
    const more = this.#parked
      ? this.#sink!.receivedElsewhere(bytes.subarray(0, size))
      : this.#sink!.received(size);
    this.#parked = !more;
    return more;
  }

  #receivedData(bytes: Uint8Array): void {
    if (!this.#sink!.receivedElsewhere(bytes)) this.#socket.pause();
  }
}

function nothing(): void {}
