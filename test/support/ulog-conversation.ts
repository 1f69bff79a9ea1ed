/**
 * What a mirror and a log server said to each other, as text: a line for each request with its
 * answer, in the order of the answers, from which the messages can be made again.
 *
 *     MARK_REGION luid 1 version 3 0500000000000000 -> 0
 *
 * The name of the log is the same all the time and is left out; numbers of logs count from 1.
 */

import { strict as assert } from 'node:assert';
import type { UlogMessage } from '../../src/dirtylog/userspace/ulog-codec.ts';
import { ulogTypeName } from '../../src/dirtylog/userspace/ulog-payloads.ts';

export interface Exchange {
  readonly type: string;
  readonly luid: number;
  readonly version: number;
  readonly data: string;
  readonly error: number;
  readonly answer: string;
}

export class ConversationRecorder {
  readonly exchanges: Exchange[] = [];
  readonly #requests = new Map<number, UlogMessage>();
  readonly #luids = new Map<bigint, number>();

  /** The machine was switched on anew: its numbers begin again and mean other logs. */
  rebooted(): void {
    this.#requests.clear();
    this.#luids.clear();
  }

  request(message: UlogMessage): void {
    this.#requests.set(message.seq, message);
  }

  reply(message: UlogMessage): void {
    const request = this.#requests.get(message.seq);
    assert(request !== undefined, `A reply to nothing: seq ${message.seq}`);
    this.#requests.delete(message.seq);
    const luid = this.#luids.get(message.luid) ?? this.#luids.size + 1;
    this.#luids.set(message.luid, luid);
    this.exchanges.push({
      type: ulogTypeName(request.requestType),
      luid,
      version: request.version,
      data: hex(request.data),
      error: message.error,
      answer: hex(message.data),
    });
  }
}

export function formatExchange({ type, luid, version, data, error, answer }: Exchange): string {
  const asked = [type, 'luid', luid, 'version', version, ...(data === '' ? [] : [data])].join(' ');
  return `${asked} -> ${error}${answer === '' ? '' : ` ${answer}`}`;
}

export function parseExchange(line: string): Exchange {
  const form = /^(\w+) luid (\d+) version (\d+)(?: ([0-9a-f]+))? -> (-?\d+)(?: ([0-9a-f]+))?$/;
  const [, type, luid, version, data = '', error, answer = ''] = form.exec(line) ?? [];
  assert(type !== undefined, `No exchange: ${line}`);
  return {
    type,
    luid: Number(luid),
    version: Number(version),
    data,
    error: Number(error),
    answer,
  };
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}
