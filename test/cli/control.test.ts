/** The program driving a daemon of its own: the words, the exit statuses, and the usual places. */

import { spawnSync } from 'node:child_process';
import { statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  COMMAND_WORDS,
  type Ended,
  type RunningCommand,
  runCommand,
  startCommand,
} from '../support/command.ts';
import { tempDir } from '../support/temp-dir.ts';

interface Place {
  readonly directory: string;
  readonly daemon: RunningCommand;
  run(words: readonly string[], stdin?: string): Promise<Ended>;
}

async function startDaemon(t: Test, words: readonly string[] = []): Promise<Place> {
  const directory = tempDir(t);
  for (const name of ['a.img', 'b.img']) {
    writeFileSync(join(directory, name), '');
    truncateSync(join(directory, name), 2 ** 20);
  }
  const options = { cwd: directory, env: { XDG_RUNTIME_DIR: directory } };
  const args = ['serve', '--control', '--socket', 'nbd.sock', ...words];
  const daemon = startCommand(t, args, options);
  await daemon.says(/^ready: /m);
  return {
    directory,
    daemon,
    run: (line, stdin) => runCommand(line, stdin === undefined ? options : { ...options, stdin }),
  };
}

t.test('A device from its creation to its removal, by the commands that dmsetup has', async (t) => {
  const { directory, daemon, run } = await startDaemon(t);
  const socket = join(directory, 'nbd-mirror.ctl');
  t.match(daemon.stdout, `control: ${socket}\n`);
  t.equal(statSync(socket).mode & 0o777, 0o600);
  const table = '0 2048 mirror core 1 64 2 a.img 0 b.img 0 1 handle_errors';
  t.match(await run(['create', 'data', '--uuid', 'U1'], `${table}\n`), { status: 0, stdout: '' });
  t.match(await run(['wait', 'data']), { status: 0, stdout: '' });
  const status = '0 2048 mirror 2 a.img b.img 32/32 1 AA 1 core\n';
  t.match(await run(['status', 'data']), { status: 0, stdout: status, stderr: '' });
  t.match(await run(['status']), { status: 0, stdout: `data: ${status}` });
  t.match(await run(['table', '-u', 'U1']), { stdout: `${table}\n` });
  t.match(await run(['table', '-o', 'devno', 'data']), { stdout: / 2 254:0 0 254:16 0 / });
  writeFileSync(join(directory, 'next.table'), '0 1024 linear a.img 0\n');
  t.match(await run(['suspend', '--noflush', 'data']), { status: 0 });
  t.match(await run(['reload', 'data', 'next.table']), { status: 0 });
  t.match(await run(['resume', 'data']), { status: 0 });
  const ahead = ['--control', socket, '--target', 'linear', 'table', 'data', '--json'];
  const json = await run(ahead);
  t.match(JSON.parse(json.stdout), { devices: [{ targets: [{ line: '0 1024 linear a.img 0' }] }] });
  const events = await run(['events']);
  t.match(
    events.stdout.split('\n').map((line) => line.split(' ').slice(1, 3).join(' ')),
    ['data created', 'data event', 'data suspended', 'data loaded', 'data resumed'],
  );
  t.match(await run(['remove', 'data']), { status: 0 });
  t.match(await run(['ls']), { status: 0, stdout: 'No devices found\n' });
  t.match(await daemon.stop(), { status: 0, signal: null });
  const gone = await run(['ls']);
  t.match(gone, { status: 1, stdout: '' });
  t.match(gone.stderr, /Cannot reach the daemon at ".*nbd-mirror.ctl"/);
});

t.test('What is wrong with a command is told, with exit status 1 as dmsetup has it', async (t) => {
  const { run } = await startDaemon(t);
  const cases: [words: string[], stderr: RegExp][] = [
    [['status', 'nosuch'], /^Device does not exist\.\nnbd-mirror: Cannot find device "nosuch"/],
    [['create'], /^Please provide a name for the new device\.\n/],
    [['create', 'x', '--table', '0 8 zero 1'], /reload ioctl on x \(253:0\) failed: Invalid/],
    [['create', 'x', 'nosuch.table'], /^Couldn't open 'nosuch\.table' for reading\.\n/],
    [['create', 'x'], /Cannot read the table: it has no line/],
    [['create', 'x', '--notable', '--table', '0 8 zero'], /^--table and --notable are incompat/],
    [['remove'], /^No device specified\.\n/],
    [['message', 'x', 'y', 'z'], /^Invalid sector\.\n/],
    [['wait', 'x', '99999999999999999'], /^Invalid event number\.\n/],
    [['status', '--frob'], /unknown option '--frob'/],
    [['ls', 'x', 'y'], /too many arguments/],
    [['ls', '-o', 'frob'], /"naming" must be "devno", "devname" or "blkdevname"/],
    [['ls', '--tree', '-o', 'frob'], /^Tree options not recognised: frob\.\n/],
    [['create', '..', '-n'], /Cannot use device name "\.\.": it names a directory/],
    [['remove', 'x'.repeat(4096)], /^device-mapper: remove ioctl on x{200}\.\.\. {2}failed/],
    [['create', 'x', '--table', '0 8 \x1b[31m'], /type is "\\u001b\[31m"/],
    [['create', 'x', '-m', '7', '--table', '0 8 zero'], /its number is ":7", must be 253:MINOR/],
    [['info', '-j', '253'], /major is "253" and minor is "", must both be numbers/],
    [['events', '--after', 'frob'], /Cannot follow events: position is "frob", must be the id/],
    [['status', '--watch', '--interval', '0'], /--interval is "0", must be a number of seconds/],
    [['ls', '--token-file', 'nosuch'], /Cannot use token file "nosuch": ENOENT/],
  ];
  for (const [words, stderr] of cases) {
    const ended = await run(words);
    t.equal(ended.status, 1, words.join(' '));
    t.match(ended.stderr, stderr, words.join(' '));
    t.equal(ended.stdout, '', words.join(' '));
  }
  const json = await run(['status', 'nosuch', '--json']);
  t.match(JSON.parse(json.stderr), { code: 'no-device', dmsetupLine: 'Device does not exist.' });
});

t.test('Who follows events when the daemon dies is told how to go on', async (t) => {
  const { directory, daemon, run } = await startDaemon(t);
  const env = { XDG_RUNTIME_DIR: directory };
  const following = startCommand(t, ['events', '--follow'], { cwd: directory, env });
  t.match(await run(['create', 'data', '--table', '0 8 zero']), { status: 0 });
  const [, id] = await following.says(/^(\S+) data created/m);
  await daemon.stop('SIGKILL');
  const ended = await following.ended;
  t.equal(ended.status, 1);
  t.match(ended.stderr, /^nbd-mirror: Cannot follow events: the daemon at ".*" is gone\n/);
  t.match(ended.stderr, `events --follow --after ${id}"`);
});

t.test(
  'status --watch shows sync, legs, regions and rates, line by line without a terminal',
  async (t) => {
    const { run } = await startDaemon(t, ['--table', '0 2048 mirror core 1 64 2 a.img 0 b.img 0']);
    t.match(await run(['wait', 'mirror']), { status: 0 }, 'it has the name that serve gives');
    const watched = await run(['status', '--watch', '--count', '2', '--interval', '0.05']);
    t.equal(watched.status, 0);
    t.notMatch(watched.stdout, '\x1b');
    const once =
      'mirror (253:0) 1 MiB, active, 0 clients, event 1\n' +
      '  reads -/s -/s, writes -/s -/s; in flight 0, waiting 0\n' +
      '  0+2048 mirror [##############################] 32/32 in sync\n' +
      '    regions clean 32, dirty 0, recovering 0, nosync 0; held writes 0\n' +
      '    leg a.img A (primary)\n' +
      '    leg b.img A\n';
    const again = once.replaceAll('-/s -/s', '0/s 0 bytes/s');
    t.equal(watched.stdout, once + again);
  },
);

t.test(
  'Without a table, and without a way to get one later, serve has nothing to do',
  async (t) => {
    const options = { cwd: tempDir(t) };
    const nothing = await runCommand(['serve'], options);
    t.match(nothing, { status: 2, stderr: /nothing to serve/ });
    const words = ['serve', '--quiet', '--control-listen', '0', '--socket', 'nbd.sock'];
    const untold = await runCommand(words, options);
    t.match(untold, { status: 2, stderr: /the token would be told to nobody/ });
    const bad = await runCommand(['serve', '--control-listen', 'localhost:x'], options);
    t.match(bad, { status: 2, stderr: /port is "x"/ });
  },
);

t.test('events --follow tells them as they come, until the daemon goes', async (t) => {
  const { directory, daemon, run } = await startDaemon(t);
  const options = { cwd: directory, env: { XDG_RUNTIME_DIR: directory } };
  const following = startCommand(t, ['events', '--follow', '--json'], options);
  await following.says(/"type":"ready"/);
  await run(['create', 'data', '--table', '0 8 zero']);
  await following.says(/"type":"created".*"device":"data"/);
  await daemon.stop();
  t.match(await following.ended, { signal: null });
});

t.test('Where nobody takes the answer the command ends, and does not succeed', async (t) => {
  const { directory, run } = await startDaemon(t);
  const options = { cwd: directory, env: { XDG_RUNTIME_DIR: directory } };
  const following = startCommand(t, ['events', '--follow', '--json'], options);
  await following.says(/"type":"ready"/);
  following.child.stdout!.destroy();
  t.match(await run(['create', 'data', '--table', '0 8 zero']), { status: 0 });
  t.match(await following.ended, { status: 141, stderr: '' }, 'as `| head -1` does it');
  const words = ['-c', 'exec "$@" >/dev/full', 'sh', ...COMMAND_WORDS, 'crash', '--list'];
  const full = spawnSync('sh', words, { encoding: 'utf8' });
  t.match(full, { status: 1, stderr: /^nbd-mirror: Cannot write the answer: ENOSPC.*\n$/ });
});
