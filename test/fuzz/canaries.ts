/**
 * Mistakes planted beside the server, each of a kind that the fuzzer is for. One that it does not
 * find says that the fuzzer is blind.
 */

import type { FuzzDevice } from './fuzz-device.ts';

export interface Canary {
  readonly name: string;
  readonly mistake: string;
  onDevice?(device: FuzzDevice): void;
  /** What becomes of bytes that the server sends. */
  onReceived?(bytes: Buffer): Buffer;
  /** Bytes in the clear behind STARTTLS are taken for encrypted ones. */
  readonly isGullible?: boolean;
}

const SIMPLE_REPLY = 0x67446698;
const EINVAL = 22;

export const CANARIES: readonly Canary[] = [
  {
    name: 'lost-reply',
    mistake: 'a simple reply with EINVAL that leaves alone is not sent',
    onReceived: (bytes) => {
      const isOne = bytes.length === 16 && bytes.readUInt32BE(0) === SIMPLE_REPLY;
      return isOne && bytes.readUInt32BE(4) === EINVAL ? Buffer.alloc(0) : bytes;
    },
  },
  {
    name: 'wrong-byte',
    mistake: 'a write of several blocks loses its last byte',
    onDevice: (device) => {
      const submit = device.submit.bind(device);
      device.submit = (bio) => {
        if (bio.op === 'write' && bio.count > 2) bio.data![bio.data!.length - 1]! ^= 1;
        submit(bio);
      };
    },
  },
  {
    name: 'wrong-error',
    mistake: 'ENOSPC is sent as EIO',
    onReceived: (bytes) => {
      const isOne = bytes.length === 16 && bytes.readUInt32BE(0) === SIMPLE_REPLY;
      if (isOne && bytes.readUInt32BE(4) === 28) bytes.writeUInt32BE(5, 4);
      return bytes;
    },
  },
  {
    name: 'crash',
    mistake: 'a request that ends in the last block of the device throws',
    onDevice: (device) => {
      const submit = device.submit.bind(device);
      device.submit = (bio) => {
        if (bio.op === 'write' && bio.sector + bio.count === device.sizeSectors) {
          throw new Error('planted');
        }
        submit(bio);
      };
    },
  },
  { name: 'injected-plaintext', mistake: 'the clear goes on behind STARTTLS', isGullible: true },
  {
    name: 'lost-request',
    mistake: 'a discard that begins in the first page never ends',
    onDevice: (device) => {
      const submit = device.submit.bind(device);
      device.submit = (bio) => {
        if (bio.op !== 'discard' || bio.sector >= 8) submit(bio);
      };
    },
  },
];
