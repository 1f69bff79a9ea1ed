/**
 * System calls that Node does not have, through koffi: synchronous, in the main thread. Results are
 * 0 or an errno; nothing throws. Numbers are those of Linux on 64-bit machines.
 */

import koffi from 'koffi';
import { EIO, ENXIO, type IoResult, OK } from '../../base/errno.ts';
import type { SpaceCall } from './space-call.ts';

/** flock(2). */
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

/** fallocate(2). */
const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_ZERO_RANGE = 0x10;

/** lseek(2). */
const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** preadv2(2): fails with EAGAIN where it would wait for storage. */
const RWF_NOWAIT = 8;

/** send(2). */
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** setsockopt(2). */
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;

/** prctl(2). */
const PR_SET_PDEATHSIG = 1;

/** poll(2). */
const POLLOUT = 4;

/**
 * getrusage(2): of the calling thread; where its voluntary context switches stand in the answer.
 */
const RUSAGE_THREAD = 1;
const RUSAGE_BYTES = 144;
const RUSAGE_NVCSW_OFFSET = 128;

/** ioctl(2) of block devices. */
const BLKROGET = 0x125e;
const BLKSSZGET = 0x1268;
const BLKDISCARD = 0x1277;
const BLKGETSIZE64 = 0x80081272;

type IntCall = (...args: (number | ArrayBufferView)[]) => number;
type Returned = (error: Error | null, returned: number) => void;
type AnyThreadCall = IntCall & { async(...args: (number | ArrayBufferView | Returned)[]): void };

export class NativeCalls {
  readonly #fallocate: AnyThreadCall;
  readonly #flock: IntCall;
  readonly #ioctl: AnyThreadCall;
  readonly #lseek: IntCall;
  readonly #poll: IntCall;
  readonly #prctl: IntCall;
  readonly #pread: IntCall;
  readonly #preadv2: IntCall;
  readonly #vector = new BigUint64Array(2);
  readonly #vectorBytes = new Uint8Array(this.#vector.buffer);
  readonly #pwrite: IntCall;
  readonly #send: IntCall;
  readonly #setsockopt: IntCall;
  readonly #getrusage: IntCall;
  readonly #usage = new DataView(new ArrayBuffer(RUSAGE_BYTES));
  readonly #usageBytes = new Uint8Array(this.#usage.buffer);

  constructor() {
    const libc = koffi.load(null);
    this.#fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
    this.#flock = libc.func('int flock(int fd, int operation)');
    // Variadic in C; with a fixed pointer it is called alike by the ABIs of Linux.
    this.#ioctl = libc.func('int ioctl(int fd, unsigned long request, _Inout_ uint8_t *argument)');
    this.#lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)');
    this.#poll = libc.func('int poll(_Inout_ uint8_t *requests, unsigned long count, int waitMs)');
    this.#prctl = libc.func('int prctl(int option, unsigned long argument)');
    this.#pread = libc.func('int64_t pread(int fd, _Out_ uint8_t *bytes, size_t size, int64_t at)');
    this.#preadv2 = libc.func(
      'int64_t preadv2(int fd, const uint8_t *vector, int count, int64_t at, int flags)',
    );
    this.#pwrite = libc.func(
      'int64_t pwrite(int fd, const uint8_t *bytes, size_t size, int64_t at)',
    );
    this.#send = libc.func('int64_t send(int fd, const uint8_t *bytes, size_t size, int flags)');
    this.#setsockopt = libc.func(
      'int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t size)',
    );
    this.#getrusage = libc.func('int getrusage(int who, _Out_ uint8_t *usage)');
  }

  flock(fd: number, operation: number): IoResult {
    return this.#outcome(this.#flock(fd, operation));
  }

  /** Gives a range back to the file system; it reads as zeros. The file's size stays. */
  readonly punchHole = this.#fallocation(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);

  readonly zeroRange = this.#fallocation(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);

  readonly blockDiscard = this.#spaceCall((fd, offset, length) => {
    const range = new BigUint64Array([BigInt(offset), BigInt(length)]);
    return { call: this.#ioctl, args: [fd, BLKDISCARD, new Uint8Array(range.buffer)] };
  });

  /**
   * Where data begins at or behind `offset`; null where there is none, `offset` if nobody knows.
   */
  seekData(fd: number, offset: number): number | null {
    const found = this.#lseek(fd, offset, SEEK_DATA);
    if (found >= 0) return found;
    return koffi.errno() === ENXIO ? null : offset;
  }

  /**
   * Reads into, or writes from, a whole array at a position of a file, as far as one call goes:
   * answers the number of bytes, or minus an errno. In the page cache this takes two thirds of what
   * the calls of `node:fs` take.
   */
  readAt(fd: number, bytes: Uint8Array, position: number): number {
    const count = this.#pread(fd, bytes, bytes.length, position);
    return count >= 0 ? count : -(koffi.errno() || EIO);
  }

  /** Reads only what is in memory already; minus EAGAIN where nothing is. */
  readCached(fd: number, bytes: Uint8Array, position: number): number {
    this.#vector[0] = koffi.address(bytes);
    this.#vector[1] = BigInt(bytes.length);
    const count = this.#preadv2(fd, this.#vectorBytes, 1, position, RWF_NOWAIT);
    return count >= 0 ? count : -(koffi.errno() || EIO);
  }

  writeAt(fd: number, bytes: Uint8Array, position: number): number {
    const count = this.#pwrite(fd, bytes, bytes.length, position);
    return count >= 0 ? count : -(koffi.errno() || EIO);
  }

  /** Where the bytes are. They stay there as long as somebody holds the array. */
  addressOf(bytes: Uint8Array): number {
    return Number(koffi.address(bytes));
  }

  /**
   * Gives a socket what it takes at once; answers how many bytes that was. 0 for every reason not
   * to: whoever sends the rest in the ordinary way learns which.
   */
  sendNow(fd: number, bytes: Uint8Array): number {
    return Math.max(0, this.#send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL));
  }

  /** Where the data at `offset` end; null if nobody knows. */
  seekHole(fd: number, offset: number): number | null {
    const found = this.#lseek(fd, offset, SEEK_HOLE);
    return found >= 0 ? found : null;
  }

  /** The size of a file as it is now; 0 if nobody knows. */
  fileEnd(fd: number): number {
    return Math.max(0, this.#lseek(fd, 0, SEEK_END));
  }

  /** How much a socket holds that its peer has not taken; the system sets the most. */
  setSendBuffer(fd: number, bytes: number): IoResult {
    const value = new Uint8Array(new Int32Array([bytes]).buffer);
    return this.#outcome(this.#setsockopt(fd, SOL_SOCKET, SO_SNDBUF, value, value.length));
  }

  /** Some thousand bytes can be written without waiting for a reader, or fail at once. */
  isWritable(fd: number): boolean {
    const request = new DataView(new ArrayBuffer(8));
    request.setInt32(0, fd, true);
    request.setInt16(4, POLLOUT, true);
    return this.#poll(new Uint8Array(request.buffer), 1, 0) !== 0;
  }

  /** This process gets the signal when its parent ends. */
  signalAtParentsEnd(signalNumber: number): IoResult {
    return this.#outcome(this.#prctl(PR_SET_PDEATHSIG, signalNumber));
  }

  /** How often this thread has waited; being pushed aside by others does not count. */
  voluntarySwitches(): number {
    this.#getrusage(RUSAGE_THREAD, this.#usageBytes);
    // It wraps after four thousand million; only differences matter.
    return this.#usage.getUint32(RUSAGE_NVCSW_OFFSET, true);
  }

  /** Size and block size in bytes of a block device, or an errno. */
  blockGeometry(
    fd: number,
  ): { size: number; logicalBlockSize: number; readOnly: boolean } | IoResult {
    const answer = new DataView(new ArrayBuffer(8));
    const bytes = new Uint8Array(answer.buffer);
    const ask = (request: number): IoResult => this.#outcome(this.#ioctl(fd, request, bytes));
    const little = true;
    let result = ask(BLKGETSIZE64);
    if (result !== OK) return result;
    const size = Number(answer.getBigUint64(0, little));
    result = ask(BLKSSZGET);
    if (result !== OK) return result;
    const logicalBlockSize = answer.getUint32(0, little);
    result = ask(BLKROGET);
    if (result !== OK) return result;
    return { size, logicalBlockSize, readOnly: answer.getUint32(0, little) !== 0 };
  }

  #fallocation(mode: number): SpaceCall {
    return this.#spaceCall((fd, offset, length) => {
      return { call: this.#fallocate, args: [fd, mode, offset, length] };
    });
  }

  #spaceCall(
    prepare: (
      fd: number,
      offset: number,
      length: number,
    ) => { call: AnyThreadCall; args: (number | ArrayBufferView)[] },
  ): SpaceCall {
    const now: SpaceCall['now'] = (...range) => {
      const { call, args } = prepare(...range);
      return this.#outcome(call(...args));
    };
    return {
      now,
      later: (fd, offset, length, onEnd) => {
        const { call, args } = prepare(fd, offset, length);
        call.async(...args, (_error, returned) => {
          // Another thread's errno is not told: whoever fails is asked again here.
          onEnd(returned >= 0 ? OK : now(fd, offset, length));
        });
      },
    };
  }

  #outcome(returned: number): IoResult {
    // koffi keeps the errno of the latest call: nothing may come in between.
    return returned >= 0 ? OK : koffi.errno() || EIO;
  }
}

let loaded: NativeCalls | null = null;

/** The calls, loaded once. */
export function nativeCalls(): NativeCalls {
  loaded ??= new NativeCalls();
  return loaded;
}
