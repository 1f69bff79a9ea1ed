/** What a real kernel once asked our log server, asked again: the answers are the same. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { localLogs } from '../../src/cluster/local-log.ts';
import type { LogClient } from '../../src/cluster/log-instance.ts';
import { LogServer } from '../../src/cluster/log-server.ts';
import type { UlogMessage } from '../../src/dirtylog/userspace/ulog-codec.ts';
import { ulogTypeName } from '../../src/dirtylog/userspace/ulog-payloads.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';
import { GOLDEN_DIRECTORY } from '../support/golden.ts';
import { unclosed } from '../support/log-server-bed.ts';
import { formatExchange, parseExchange } from '../support/ulog-conversation.ts';

const TYPES = new Map(Array.from({ length: 256 }, (_, type) => [ulogTypeName(type), type]));
const POWER_CUT = '# power cut';

t.test('a conversation with a kernel, once more', async (t) => {
  const file = join(GOLDEN_DIRECTORY, 'ulog/kernel-conversation.txt');
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const log = new MemoryDevice({ name: 'LOG', sizeSectors: 2048 });
  const clock = new VirtualClock();
  const openDevice = async () => unclosed(log);
  const options = {
    implementations: localLogs({ clock, log: silentLogger, openDevice }),
    log: silentLogger,
  };
  const server = new LogServer(options);
  let answered: (message: UlogMessage) => void = () => undefined;
  const connect = (name: string): LogClient => {
    const client = { name, reply: (message: UlogMessage) => answered(message) };
    server.connected(client);
    return client;
  };
  let boot = 0;
  let client = connect('first boot');
  for (const [seq, line] of lines.entries()) {
    if (line === POWER_CUT) {
      server.disconnected(client);
      client = connect('second boot');
      boot += 1;
      continue;
    }
    const { luid, type, data, ...rest } = parseExchange(line);
    const reply = new Promise<UlogMessage>((resolve) => {
      answered = resolve;
    });
    server.handle(client, {
      luid: BigInt(luid),
      uuid: 'vm-log',
      version: rest.version,
      error: 0,
      seq: boot * 10_000 + seq,
      requestType: TYPES.get(type)!,
      data: Buffer.from(data, 'hex'),
    });
    const { error, data: answer } = await reply;
    const got = {
      luid,
      type,
      data,
      version: rest.version,
      error,
      answer: Buffer.from(answer).toString('hex'),
    };
    if (formatExchange(got) !== line) t.equal(formatExchange(got), line, `line ${seq + 1}`);
  }
  t.ok(lines.includes(POWER_CUT) && lines.length > 100, `${lines.length} lines`);
});
