/**
 * Clients that are up to no good, in a process of their own, for the benchmark:
 *
 *   hostile-clients.ts SOCKET STALLED MUTE FLOODING
 *
 * STALLED ones never say a word in the handshake; MUTE ones ask for 64 MiB and never read a byte of
 * it; FLOODING ones send small reads as fast as they are taken, and throw the answers away. Whoever
 * is cut off comes back. Prints "ready" when all have connected once; runs until it is ended.
 */

import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CLIENT_FLAGS,
  CLIENT_FLAGS_SIZE,
  COMMANDS,
  GREETING_SIZE,
  IHAVEOPT_HIGH,
  IHAVEOPT_LOW,
  OPTION_HEADER_SIZE,
  OPTIONS,
  REQUEST_MAGIC,
  REQUEST_SIZE,
} from '../../../src/nbd/constants.ts';

/** Size and flags of the export. */
const EXPORT_REPLY_SIZE = 10;
const RETURN_MS = 200;
const MUTE_READS = 64;
const MUTE_READ_BYTES = 2 ** 20;
const FLOOD_READ_BYTES = 512;
/** Sent with one call. */
const FLOOD_BATCH = 256;

type Behaviour = (socket: Socket) => void | Promise<void>;

async function stall(): Promise<void> {}

async function beMute(socket: Socket): Promise<void> {
  await shakeHands(socket);
  const reads = Array.from({ length: MUTE_READS }, () => readRequest(MUTE_READ_BYTES));
  socket.write(Buffer.concat(reads));
}

async function flood(socket: Socket): Promise<void> {
  await shakeHands(socket);
  socket.on('data', () => {}).resume();
  const batch = Buffer.concat(
    Array.from({ length: FLOOD_BATCH }, () => readRequest(FLOOD_READ_BYTES)),
  );
  while (!socket.destroyed) {
    if (socket.write(batch)) await sleep(0);
    else await drained(socket);
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}

/** Chooses the export of no name; the socket is paused behind the answer. */
async function shakeHands(socket: Socket): Promise<void> {
  const hello = Buffer.alloc(CLIENT_FLAGS_SIZE + OPTION_HEADER_SIZE);
  hello.writeUInt32BE(CLIENT_FLAGS.C_FIXED_NEWSTYLE | CLIENT_FLAGS.C_NO_ZEROES, 0);
  hello.writeUInt32BE(IHAVEOPT_HIGH, 4);
  hello.writeUInt32BE(IHAVEOPT_LOW, 8);
  hello.writeUInt32BE(OPTIONS.EXPORT_NAME, 12);
  socket.write(hello);
  for (let missing = GREETING_SIZE + EXPORT_REPLY_SIZE; missing > 0; ) {
    await new Promise((resolve) => socket.once('readable', resolve).once('close', resolve));
    if (socket.destroyed) return;
    for (let some = socket.read(); some !== null; some = socket.read()) missing -= some.length;
  }
}

function readRequest(bytes: number): Buffer {
  const request = Buffer.alloc(REQUEST_SIZE);
  request.writeUInt32BE(REQUEST_MAGIC, 0);
  request.writeUInt16BE(COMMANDS.READ, 6);
  request.writeUInt32BE(bytes, 24);
  return request;
}

/** Ends when it has been connected once; comes back for ever. */
function keep(path: string, behaviour: Behaviour): Promise<void> {
  return new Promise((resolve) => {
    const begin = (): void => {
      const socket = connect(path);
      socket.on('error', () => {});
      socket.once('connect', () => {
        resolve();
        void behaviour(socket);
      });
      socket.once('close', () => setTimeout(begin, RETURN_MS));
    };
    begin();
  });
}

const [path, ...counts] = process.argv.slice(2);
const behaviours: readonly Behaviour[] = [stall, beMute, flood];
await Promise.all(
  behaviours.flatMap((behaviour, index) =>
    Array.from({ length: Number(counts[index] ?? 0) }, () => keep(path!, behaviour)),
  ),
);
console.log('ready');
