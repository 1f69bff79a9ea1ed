/** A log server that says what a test tells it to, and a channel to it. */

import type { LogFields, Logger } from '../../src/base/log.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Region } from '../../src/base/units.ts';
import type { LogClient } from '../../src/cluster/log-instance.ts';
import { LogChannel } from '../../src/dirtylog/userspace/log-channel.ts';
import type { UlogMessage } from '../../src/dirtylog/userspace/ulog-codec.ts';
import * as payloads from '../../src/dirtylog/userspace/ulog-payloads.ts';
import { createUserspaceLogType } from '../../src/dirtylog/userspace/userspace-log.ts';
import { GOOD_DAY, type LogServerEnd, LogWire } from '../../src/sim/machine/log-wire.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';

/** What to answer; null: nothing; undefined: what a good server would. */
export type Answerer = (
  message: UlogMessage,
) =>
  | Partial<Pick<UlogMessage, 'error' | 'data' | 'uuid' | 'version' | 'requestType'>>
  | null
  | undefined;

export const REGION_SIZE = 8;

export class ScriptedLogServer implements LogServerEnd {
  readonly clock = new VirtualClock();
  readonly lines: string[] = [];
  readonly seqs: number[] = [];
  readonly wire = new LogWire({ clock: this.clock, prng: new Prng(1), faults: GOOD_DAY });
  readonly channel: LogChannel;
  readonly type;
  /** What went wrong, as told to people. */
  readonly told: string[] = [];
  answer: Answerer = () => undefined;

  constructor() {
    const note = (message: string, _fields?: LogFields): void => {
      this.told.push(message);
    };
    const log: Logger = { debug: () => undefined, info: note, warn: note, error: note };
    const { clock, wire } = this;
    this.channel = new LogChannel({ transport: wire, clock, log, firstLuid: 7n });
    this.type = createUserspaceLogType(this.channel);
    wire.serve(this);
  }

  connected(): void {}
  disconnected(): void {}

  handle(client: LogClient, message: UlogMessage): void {
    const { value: request } = payloads.decodeUlogRequest(message.requestType, message.data);
    this.lines.push(request === null ? 'nonsense' : describe(request));
    this.seqs.push(message.seq);
    const given = this.answer(message);
    if (given === null) return;
    const good = { error: 0, data: goodAnswer(message.requestType) };
    client.reply({ ...message, ...good, ...given });
  }

  /** The lines since the last call. */
  takeLines(): string[] {
    return this.lines.splice(0);
  }

  async until<T>(work: Promise<T>, withinMs = 3_600_000): Promise<T> {
    let ended = false;
    const note = (): void => {
      ended = true;
    };
    work.then(note, note);
    await this.advance(withinMs, () => ended);
    if (!ended) throw new Error(`It does not end within ${withinMs} ms`);
    return work;
  }

  async advance(ms: number, ended: () => boolean = () => false): Promise<void> {
    await this.clock.advance({ ended, untilMs: this.clock.now() + ms });
  }
}

/** All regions are in sync, and nothing is to do. */
function goodAnswer(type: number): Uint8Array {
  switch (type) {
    case payloads.ULOG_GET_REGION_SIZE:
      return payloads.encodeCount(REGION_SIZE);
    case payloads.ULOG_IS_CLEAN:
    case payloads.ULOG_IN_SYNC:
      return payloads.encodeFlag(true);
    case payloads.ULOG_GET_RESYNC_WORK:
      return payloads.encodeResyncWork(null);
    case payloads.ULOG_GET_SYNC_COUNT:
      return payloads.encodeCount(0);
    case payloads.ULOG_STATUS_INFO:
      return payloads.encodeStatus('1 mem');
    case payloads.ULOG_IS_REMOTE_RECOVERING:
      return payloads.encodeRemoteRecovering({ recovering: false, inSyncHint: 0 });
    default:
      return new Uint8Array(0);
  }
}

function describe(request: payloads.UlogRequest): string {
  const name = payloads.ulogTypeName(request.type);
  if ('text' in request) return `${name} ${request.text}`;
  if ('regions' in request) return [name, ...shorten(request.regions)].join(' ');
  if ('inSync' in request) return `${name} ${request.region} ${request.inSync ? 1 : 0}`;
  return 'region' in request ? `${name} ${request.region}` : name;
}

/** `31..0` for many in a row. */
function shorten(regions: readonly Region[]): string[] {
  if (regions.length < 5) return regions.map(String);
  return [`${regions[0]}..${regions.at(-1)}`];
}
