/** Which words and answers make a userspace log, and what is said of those that do not. */

import t from 'tap';
import { EINVAL, EIO } from '../../../src/base/errno.ts';
import { UserError } from '../../../src/base/failure.ts';
import * as payloads from '../../../src/dirtylog/userspace/ulog-payloads.ts';
import { asInTable } from '../../../src/dm/device-naming.ts';
import { FakeLegs, FakeTarget, LogDisk } from '../../support/log-fixture.ts';
import { type Answerer, ScriptedLogServer } from '../../support/scripted-log-server.ts';

function setUp() {
  const server = new ScriptedLogServer();
  const target = new FakeTarget(800, [new LogDisk({ name: '254:64' })]);
  target.clock = server.clock;
  return { server, target, legs: new FakeLegs() };
}

/** The kernel's messages for a refusal, the last one first. */
function messagesOf(error: unknown): string[] {
  if (!(error instanceof UserError)) return [];
  return [
    ...(error.kernelMessage === undefined ? [] : [error.kernelMessage]),
    ...messagesOf(error.cause),
  ];
}

async function refusal(args: readonly string[], answer: Answerer, listens = true) {
  const { server, target, legs } = setUp();
  server.answer = answer;
  if (!listens) server.wire.cut();
  let error: unknown = null;
  try {
    await server.until(server.type.create({ target, args, flushLegs: legs.flush }));
  } catch (thrown) {
    error = thrown;
  }
  const { message = 'accepted', errno = null } = error instanceof UserError ? error : {};
  return {
    message,
    errno,
    kernel: messagesOf(error),
    lines: server.takeLines(),
    held: target.heldCount,
  };
}

const good: Answerer = () => undefined;
const ctr =
  (answer: ReturnType<Answerer>): Answerer =>
  ({ requestType }) =>
    requestType === payloads.ULOG_CTR ? answer : undefined;
const regionSize =
  (answer: ReturnType<Answerer>): Answerer =>
  ({ requestType }) =>
    requestType === payloads.ULOG_GET_REGION_SIZE ? answer : undefined;

t.test('what is refused is refused with the words of the kernel', async (t) => {
  const failed = 'Userspace log server failed to create log';
  const text = (length: number) => ['log-0', 'mem', 'x'.repeat(length - '800 mem '.length)];
  const plain = ['log-0', 'mem', '8'];
  const cases: [readonly string[], Answerer, readonly string[], RegExp][] = [
    [['log-0', 'mem'], good, ['Too few arguments to userspace dirty log'], /2 log arguments/],
    [['u'.repeat(129), 'mem', '8'], good, ['UUID argument too long.'], /has 129 bytes/],
    [['\u00fc'.repeat(65), 'mem', '8'], good, ['UUID argument too long.'], /has 130 bytes/],
    [text(333), good, [failed, 'Size of tfr exceeds preallocated size'], /333 bytes.* 332/],
    [plain, ctr({ error: -EINVAL }), [failed], /"the log wire" refuses it with EINVAL/],
    [
      plain,
      ctr({ data: new Uint8Array(200).fill(65) }),
      [failed, 'Insufficient space to receive package [1] (200 vs 128)'],
      /200 bytes/,
    ],
    [
      plain,
      ctr({ data: Buffer.from('254:64') }),
      ['DM_ULOG_CTR device return string not properly terminated'],
      /ends with NUL/,
    ],
    [
      plain,
      ctr({ data: Buffer.from('9:99\0') }),
      ['Failed to register 9:99 with device-mapper'],
      /"9:99"/,
    ],
    [plain, regionSize({ error: -EIO }), ['Failed to get region size of dirty log'], /EIO/],
    [
      plain,
      regionSize({ data: new Uint8Array(4) }),
      ['Failed to get region size of dirty log'],
      /4 bytes/,
    ],
    [
      plain,
      regionSize({ data: new Uint8Array(16) }),
      ['Failed to get region size of dirty log'],
      /ENOSPC/,
    ],
    [
      plain,
      regionSize({ data: payloads.encodeCount(1000) }),
      [],
      /1000 sectors, must be a power of two/,
    ],
    [plain, regionSize({ data: payloads.encodeCount(0) }), [], /0 sectors, must be a power of two/],
    [plain, ctr({ version: 4 }), [failed], /EPROTO/],
    [plain, ctr({ uuid: 'log-1' }), [failed], /EPROTO/],
    [plain, ctr({ requestType: payloads.ULOG_DTR }), [failed], /EPROTO/],
  ];
  for (const [args, answer, kernel, message] of cases) {
    const refused = await refusal(args, answer);
    t.match(refused.message, message);
    t.same(refused.kernel, kernel, message.source);
    t.equal(refused.errno, EINVAL);
    t.equal(refused.held, 0, 'no device stays open');
    const made = refused.lines.some((line) => line.startsWith('GET_REGION_SIZE'));
    t.equal(refused.lines.at(-1) === 'DTR', made, 'what was made is forgotten again');
  }
  const alone = await refusal(plain, good, false);
  t.match(alone.message, /no log server listens at "the log wire"/);
  t.same(alone.kernel, [
    'Userspace log server not found',
    'Unable to send log request [1] to userspace: -3',
  ]);
  t.equal((await refusal(text(332), good)).message, 'accepted');
});

t.test('what is accepted: texts, and the device that the server names', async (t) => {
  const { server, target, legs } = setUp();
  server.answer = ctr({ data: payloads.encodeDeviceName('254:64') });
  const args = ['log-0', 'INTEGRATED_flush', 'mem', '8', 'nosync'];
  const log = await server.until(server.type.create({ target, args, flushLegs: legs.flush }));
  t.same(server.takeLines(), ['CTR 800 mem 8 nosync', 'GET_REGION_SIZE']);
  t.equal(await log.status('table', asInTable), 'userspace 5 log-0 integrated_flush mem 8 nosync');
  t.same(
    log.devices.map(({ device }) => device.name),
    ['254:64'],
  );
  await server.until(log.destroy());
  t.same(server.takeLines(), ['DTR']);
  t.equal(target.heldCount, 0);
});
