/**
 * Our log server in the place of the small one that the recorder uses (`ulogd`): logs of the type
 * "mem", and a line for each request with its answer, as that one prints them.
 */

import { EINVAL } from '../../../src/base/errno.ts';
import { UserError } from '../../../src/base/failure.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { type Region, toSectorCount } from '../../../src/base/units.ts';
import { LogServer } from '../../../src/cluster/log-server.ts';
import type { LogImplementation, ServedLog } from '../../../src/cluster/served-log.ts';
import { decodeUlogText, type UlogMessage } from '../../../src/dirtylog/userspace/ulog-codec.ts';
import {
  ULOG_CTR,
  ULOG_STATUS_INFO,
  ulogTypeName,
} from '../../../src/dirtylog/userspace/ulog-payloads.ts';

export function createUlogd(): LogServer {
  return new LogServer({ implementations: [memLogs], log: silentLogger });
}

/** The lines that it prints. */
export class UlogdTranscript {
  readonly lines: string[] = [];
  readonly #requests = new Map<number, UlogMessage>();

  readonly tap = (message: UlogMessage, from: 'mirror' | 'server'): void => {
    if (from === 'mirror') {
      this.#requests.set(message.seq, message);
      return;
    }
    const request = this.#requests.get(message.seq);
    if (request !== undefined) this.lines.push(lineOf(request, message));
  };
}

function lineOf(request: UlogMessage, reply: UlogMessage): string {
  const name = ulogTypeName(request.requestType);
  if (request.requestType === ULOG_CTR) {
    return `${name} ${decodeUlogText(request.data)} -> ${reply.error}`;
  }
  const asked = [name, ...numbersOf(request.data)].join(' ');
  if (request.requestType === ULOG_STATUS_INFO) return `${asked} -> ${decodeUlogText(reply.data)}`;
  return reply.data.length === 0 ? asked : `${asked} -> ${numbersOf(reply.data).join(' ')}`;
}

function numbersOf(data: Uint8Array): bigint[] {
  return [...new BigUint64Array(Uint8Array.from(data).buffer)];
}

const memLogs: LogImplementation = {
  name: 'mem',
  async create({ targetSectors, args: [size = '', word] }): Promise<ServedLog> {
    const regionSize = /^\d+$/.test(size) ? Number(size) : 0;
    if (regionSize === 0 || (word !== undefined && word !== 'sync' && word !== 'nosync')) {
      throw new UserError('mem', 'Cannot create log: wrong arguments', { errno: EINVAL });
    }
    return new MemLog(regionSize, Math.ceil(targetSectors / regionSize), word === 'nosync');
  },
};

class MemLog implements ServedLog {
  readonly regionSizeSectors;
  readonly regionCount: number;
  readonly deviceName = null;
  isLive = false;
  readonly #inSync: boolean[];
  readonly #clean: boolean[];
  /** Resynchronisation has come so far. */
  #search = 0;

  constructor(regionSize: number, regionCount: number, inSync: boolean) {
    this.regionSizeSectors = toSectorCount(regionSize);
    this.regionCount = regionCount;
    this.#inSync = Array<boolean>(regionCount).fill(inSync);
    this.#clean = Array<boolean>(regionCount).fill(true);
  }

  presuspend = () => 0;
  postsuspend = () => {
    this.isLive = false;
    return 0;
  };
  resume = () => {
    this.isLive = true;
    this.#search = 0;
    return 0;
  };
  destroy = async () => undefined;
  isClean = (region: Region) => this.#clean[region]!;
  inSync = (region: Region) => this.#inSync[region]!;
  flush = () => 0;
  markRegion(region: Region): void {
    this.#clean[region] = false;
  }
  clearRegion(region: Region): void {
    this.#clean[region] = true;
  }

  /** Each region once: one that cannot be copied must not come up for ever. */
  getResyncWork(): Region | null {
    while (this.#search < this.regionCount && this.#inSync[this.#search]) this.#search += 1;
    return this.#search < this.regionCount ? (this.#search++ as Region) : null;
  }

  setRegionSync(region: Region, inSync: boolean): number {
    this.#inSync[region] = inSync;
    return 0;
  }
  getSyncCount = () => this.#inSync.filter(Boolean).length;
  status = () => '1 mem';
  isRemoteRecovering = () => ({ recovering: false, inSyncHint: 0 });
  describe(): never {
    throw new Error('Nobody asks for this');
  }
}
