/** What a mirror's side must not ask: each is refused with an errno, and the log is as before. */

import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { EBUSY, EINVAL, ENOENT, EPROTO, ESHUTDOWN, errnoName } from '../../src/base/errno.ts';
import { UserError } from '../../src/base/failure.ts';
import { type Logger, silentLogger } from '../../src/base/log.ts';
import { localLogs } from '../../src/cluster/local-log.ts';
import type { LogClient } from '../../src/cluster/log-instance.ts';
import { LogServer } from '../../src/cluster/log-server.ts';
import type { UlogMessage } from '../../src/dirtylog/userspace/ulog-codec.ts';
import { ULOG_DATA_BYTES_MAX } from '../../src/dirtylog/userspace/ulog-codec.ts';
import * as payloads from '../../src/dirtylog/userspace/ulog-payloads.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';

const REGIONS = 16;
const TEXT = `${REGIONS * 8} core 8 nosync`;

class Bed {
  readonly warnings: string[] = [];
  readonly server: LogServer;
  #seq = 0;
  #answered: (message: UlogMessage) => void = () => undefined;

  constructor() {
    const log: Logger = { ...silentLogger, warn: (message) => void this.warnings.push(message) };
    const openDevice = async (name: string): Promise<never> => {
      throw new UserError('device-missing', `Cannot open "${name}": it is missing`, {
        errno: ENOENT,
      });
    };
    const implementations = localLogs({ clock: new VirtualClock(), log, openDevice });
    this.server = new LogServer({ implementations, log });
  }

  connect(name: string): LogClient {
    const client = { name, reply: (message: UlogMessage) => this.#answered(message) };
    this.server.connected(client);
    return client;
  }

  /** Null: there is no answer. */
  async ask(client: LogClient, message: Partial<UlogMessage>): Promise<UlogMessage | null> {
    this.#seq += 1;
    let answer: UlogMessage | null = null;
    this.#answered = (given) => {
      answer = given;
    };
    const rest = { luid: 1n, uuid: 'u', version: 3, error: 0, requestType: 0 };
    const asked = { ...rest, seq: this.#seq, data: new Uint8Array(0), ...message };
    this.server.handle(client, asked);
    for (let turns = 0; turns < 20 && answer === null; turns++) await turn();
    return answer;
  }

  request(client: LogClient, request: payloads.UlogRequest, more: Partial<UlogMessage> = {}) {
    const data = payloads.encodeUlogRequest(request);
    return this.ask(client, { requestType: request.type, data, ...more });
  }

  async refused(client: LogClient, message: Partial<UlogMessage>): Promise<string> {
    const answer = await this.ask(client, message);
    return answer === null ? 'no answer' : errnoName(-answer.error);
  }
}

const construct = (text: string): Partial<UlogMessage> => ({
  requestType: payloads.ULOG_CTR,
  data: Buffer.from(text),
});

const numbers = (...values: bigint[]): Uint8Array =>
  new Uint8Array(BigUint64Array.from(values).buffer);

t.test('constructors that are refused, each with a reason', async (t) => {
  const cases: [Partial<UlogMessage>, number, RegExp][] = [
    [construct(''), EINVAL, /log refused|request refused/],
    [construct('128'), EINVAL, /refused/],
    [construct('many core 8'), EINVAL, /"many"/],
    [construct('128 paper 8'), EINVAL, /"paper"/],
    [construct('128 core 7'), EINVAL, /7 sectors, must be a power of two/],
    [construct('128 core 8 perhaps'), EINVAL, /"perhaps"/],
    [construct('128 disk nowhere 8'), ENOENT, /"nowhere"/],
    [construct(`128 core 8 ${'x'.repeat(400)}`), EINVAL, /at most 332|refused/],
    [{ ...construct(TEXT), data: Buffer.from([0xff, 0xfe]) }, EINVAL, /UTF-8/],
  ];
  for (const [message, errno, reason] of cases) {
    const bed = new Bed();
    const client = bed.connect('mirror');
    t.equal(await bed.refused(client, message), errnoName(errno), reason.source);
    t.match(bed.warnings.join('\n'), reason);
    t.same(await bed.server.list(), [], 'nothing is left of it');
  }
});

t.test('requests that are refused leave the log as it is', async (t) => {
  const bed = new Bed();
  const client = bed.connect('mirror');
  t.equal((await bed.ask(client, construct(TEXT)))?.error, 0);
  const mark = { type: payloads.ULOG_MARK_REGION, regions: [3 as never] } as const;
  t.equal((await bed.request(client, mark))?.error, -ESHUTDOWN, 'not resumed yet');
  t.equal((await bed.request(client, { type: payloads.ULOG_RESUME }))?.error, 0);
  t.equal((await bed.request(client, mark))?.error, 0);
  const flush = { type: payloads.ULOG_FLUSH, regions: [] } as const;
  t.equal((await bed.request(client, flush))?.error, 0);

  const { ULOG_CLEAR_REGION, ULOG_IN_SYNC, ULOG_MARK_REGION } = payloads;
  const cases: [string, Partial<UlogMessage>, number][] = [
    [
      'a uuid that is not there',
      { requestType: ULOG_IN_SYNC, uuid: 'v', data: numbers(0n) },
      EINVAL,
    ],
    [
      'a luid that is not there',
      { requestType: ULOG_IN_SYNC, luid: 2n, data: numbers(0n) },
      EINVAL,
    ],
    ['version 0', { requestType: ULOG_IN_SYNC, version: 0, data: numbers(0n) }, EPROTO],
    ['version 4', { requestType: ULOG_IN_SYNC, version: 4, data: numbers(0n) }, EPROTO],
    ['type 0', { requestType: 0 }, EINVAL],
    ['type 18', { requestType: 18 }, EINVAL],
    ['type 255', { requestType: 255 }, EINVAL],
    ['data that end early', { requestType: ULOG_IN_SYNC, data: new Uint8Array(7) }, EINVAL],
    ['more data than it has', { requestType: ULOG_IN_SYNC, data: numbers(0n, 0n) }, EINVAL],
    ['no region', { requestType: ULOG_CLEAR_REGION }, EINVAL],
    ['33 regions', { requestType: ULOG_MARK_REGION, data: new Uint8Array(33 * 8) }, EINVAL],
    ['a region behind the end', { requestType: ULOG_CLEAR_REGION, data: numbers(16n) }, EINVAL],
    ['one such among others', { requestType: ULOG_CLEAR_REGION, data: numbers(3n, 16n) }, EINVAL],
    ['a region no number holds', { requestType: ULOG_IN_SYNC, data: numbers(2n ** 63n) }, EINVAL],
    ['all that fits', { requestType: 9, data: new Uint8Array(ULOG_DATA_BYTES_MAX) }, EINVAL],
  ];
  for (const [what, message, errno] of cases) {
    t.equal(await bed.refused(client, message), errnoName(errno), what);
  }
  const stranger = bed.connect('another mirror');
  const cleared = { requestType: ULOG_CLEAR_REGION, data: numbers(3n) };
  t.equal(await bed.refused(stranger, cleared), errnoName(EBUSY), 'of another mirror');
  const again = { ...construct(TEXT), luid: 9n };
  t.equal(await bed.refused(stranger, again), errnoName(EBUSY), 'one uuid, two mirrors');

  const [left, ...more] = await bed.server.list();
  t.same(more, []);
  t.match(left?.log, { syncCount: REGIONS, nodes: [{ marked: [3], markedCount: 1 }] });
});
