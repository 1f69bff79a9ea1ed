/**
 * A real kernel's mirror with its log at our log server: created, written, its power cut, resumed
 * and copied again. A small bridge in the guest passes the kernel's messages to the server here,
 * where every request and its answer is noted.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { UlogReader } from '../../src/dirtylog/userspace/ulog-codec.ts';
import { COMMAND_WORDS } from '../support/command.ts';
import { requireKernelVm, runGuest } from '../support/kernel-vm.ts';
import { readCleanBits } from '../support/log-file.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { ConversationRecorder, formatExchange } from '../support/ulog-conversation.ts';

const MIB = 1024 * 1024;
const SECTORS = 16384;
const REGION_SECTORS = 1024;
const REGIONS = SECTORS / REGION_SECTORS;
const BRIDGE = join(import.meta.dirname, '../kernel-vm/examples/ulog-bridge.c');

/** Set to a file, the conversation is kept there: test/golden/ulog/README.md. */
const KEEP = process.env.NBD_MIRROR_KEEP_CONVERSATION;

function makeEmpty(path: string, bytes: number): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, bytes);
}

async function startLogd(t: Test, socket: string): Promise<ChildProcess> {
  const [program, ...words] = COMMAND_WORDS;
  const child = spawn(program!, [...words, 'logd', '--socket', socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  const [said] = await once(child.stdout!, 'data');
  t.match(String(said), /^ready: /);
  return child;
}

/** Guests reach TCP on the host only: passes each connection on, and hears what is said. */
async function startForwarder(
  t: Test,
  socket: string,
  recorder: ConversationRecorder,
): Promise<number> {
  const server: Server = createServer((guest) => {
    const logd = connect(socket);
    const requests = new UlogReader();
    const replies = new UlogReader();
    guest.on('data', (bytes) => {
      t.equal(
        requests.push(bytes, (message) => recorder.request(message)),
        null,
      );
      logd.write(bytes);
    });
    logd.on('data', (bytes) => {
      t.equal(
        replies.push(bytes, (message) => recorder.reply(message)),
        null,
      );
      guest.write(bytes);
    });
    for (const [one, other] of [
      [guest, logd],
      [logd, guest],
    ] as const) {
      one.on('close', () => other.destroy());
      one.on('error', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

const BEGIN = `
modprobe dm-log-userspace
./ulog-bridge 10.0.2.2 "$1" >/tmp/bridge &
until grep -q ready /tmp/bridge; do sleep 0.1; done
log=$2
mirror() { # NAME FLAG... of the userspace log
  local name=$1; shift
  echo "0 ${SECTORS} mirror userspace $((4 + $#)) $name $* disk $log ${REGION_SECTORS}" \\
    '2 /dev/vda 0 /dev/vdb 0'
}
synced() { until [[ $(dmsetup status m) == *' ${REGIONS}/${REGIONS} '* ]]; do sleep 0.2; done; }
`;

/** Writes while it is being copied and afterwards; the power goes while a region is marked. */
const CREATE_AND_CUT = `${BEGIN}
dmsetup create slow --table "0 ${SECTORS} linear /dev/vdb 0"
dmsetup create m --table "$(mirror vm-log | sed 's|/dev/vdb|/dev/mapper/slow|')"
dd if=/dev/urandom of=/dev/mapper/m bs=64K count=1 seek=100 oflag=direct status=none
synced
dmsetup status m
dmsetup table m
dd if=/dev/urandom of=/dev/mapper/m bs=64K count=3 seek=40 oflag=direct status=none
sleep 1
dmsetup suspend m
dmsetup resume m
dmsetup suspend --noflush --nolockfs slow
dd if=/dev/urandom of=/dev/mapper/m bs=64K count=1 seek=$((5 * 8)) oflag=direct status=none &
differ() {
  dd if=/dev/vda of=/tmp/first bs=64K skip=40 count=1 iflag=direct status=none
  dd if=/dev/vdb of=/tmp/second bs=64K skip=40 count=1 iflag=direct status=none
  ! cmp -s /tmp/first /tmp/second
}
until differ; do sleep 0.1; done
powercut 42`;

const RESUME = `${BEGIN}
dmsetup create m --table "$(mirror vm-log)"
synced
cmp -n $((${SECTORS} * 512)) /dev/vda /dev/vdb
dmsetup remove m
dmsetup create m --table "$(mirror vm-log integrated_flush)"
synced
dd if=/dev/urandom of=/dev/mapper/m bs=64K count=1 seek=60 oflag=direct status=none
sleep 4
dmsetup remove m`;

t.test("a real kernel's mirror keeps its log at our server", async (t) => {
  if (!requireKernelVm(t) || !requireTool(t, 'cc')) return;
  const directory = tempDir(t);
  const bridge = join(directory, 'ulog-bridge');
  const built = spawnSync('cc', ['-O2', '-static', '-o', bridge, BRIDGE], { encoding: 'utf8' });
  t.equal(built.status, 0, built.stderr);
  const [first, second, log] = ['leg0', 'leg1', 'log'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const leg of [first, second]) makeEmpty(leg, SECTORS * 512);
  makeEmpty(log, MIB);
  const socket = join(directory, 'logd.sock');
  await startLogd(t, socket);
  const recorder = new ConversationRecorder();
  const port = await startForwarder(t, socket, recorder);
  const guest = (script: string) =>
    runGuest(t, {
      script,
      args: [String(port), log],
      disks: [first, second],
      files: [bridge],
      timeoutS: 400,
    });

  const cut = await guest(CREATE_AND_CUT);
  t.equal(cut.status, 42, cut.output);
  t.match(cut.output, new RegExp(`${REGIONS}/${REGIONS} 1 AA 3 disk .*log A`));
  const dirty = readCleanBits(log).flatMap((clean, region) => (clean ? [] : [region]));
  t.same(dirty, [5], 'what was being written is in the log');
  t.notOk(readFileSync(first).equals(readFileSync(second)), 'and the legs differ');

  const before = recorder.exchanges.length;
  recorder.rebooted();
  const resumed = await guest(RESUME);
  t.equal(resumed.status, 0, resumed.output);
  const copied = recorder.exchanges.slice(before).filter(({ type }) => type === 'SET_REGION_SYNC');
  t.same(
    copied.map(({ data }) => data),
    ['05000000000000000100000000000000'],
    'this region alone was copied',
  );
  t.ok(readFileSync(first).equals(readFileSync(second)), 'the legs are the same again');
  t.same(readCleanBits(log).slice(0, REGIONS), Array(REGIONS).fill(true), 'and the log knows it');

  const { exchanges } = recorder;
  t.same(
    exchanges.filter(({ error }) => error !== 0),
    [],
    'every request was answered well',
  );
  const asked = [...new Set(exchanges.map(({ type }) => type))].sort();
  t.same(asked, EVERY_REQUEST, 'and every request that a kernel sends was there');
  const flushes = exchanges.filter(({ type, data }) => type === 'FLUSH' && data !== '');
  t.ok(flushes.length > 0, 'with marks in a flush');
  if (KEEP !== undefined) {
    const lines = exchanges.map(formatExchange);
    lines.splice(before, 0, '# power cut');
    writeFileSync(KEEP, `${lines.join('\n').replaceAll(hexOf(log), hexOf('LOG'))}\n`);
  }
});

/** IS_CLEAN and STATUS_TABLE no kernel of today sends. */
const EVERY_REQUEST = [
  'CLEAR_REGION',
  'CTR',
  'DTR',
  'FLUSH',
  'GET_REGION_SIZE',
  'GET_RESYNC_WORK',
  'GET_SYNC_COUNT',
  'IN_SYNC',
  'IS_REMOTE_RECOVERING',
  'MARK_REGION',
  'POSTSUSPEND',
  'PRESUSPEND',
  'RESUME',
  'SET_REGION_SYNC',
  'STATUS_INFO',
];

function hexOf(text: string): string {
  return Buffer.from(text).toString('hex');
}
