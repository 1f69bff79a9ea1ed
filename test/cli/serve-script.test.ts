/** `scripts/serve`: one command for a mirror, from any directory. */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { REPOSITORY, RunningCommand } from '../support/command.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

function start(t: Test, cwd: string, ...words: string[]): RunningCommand {
  const running = new RunningCommand([join(REPOSITORY, 'scripts/serve'), ...words], { cwd });
  t.teardown(() => void running.child.kill('SIGKILL'));
  return running;
}

t.test('scripts/serve makes the default mirror, and keeps it the next time', async (t) => {
  const cwd = tempDir(t);
  const inside = (name: string): string => join(cwd, 'mirror-data', name);
  const first = start(t, cwd, '--size', '8M');
  const [, uri] = await first.says(/ready: (nbd\+unix:\S+)/);
  t.equal(uri, `nbd+unix:///?socket=${inside('nbd.sock')}`);
  await first.says(/nbdfuse/);
  await waitUntil('both legs', () => /in sync/.test(first.stderr));
  t.ok(isServer(first.child.pid!), 'the script has become the server');
  t.match(await first.stop(), { status: 0 });
  t.equal(statSync(inside('a.img')).size, 8 * 2 ** 20);
  const second = start(t, cwd, '--listen', '127.0.0.1:0', '--name', 'data');
  await second.says(/ready: nbd:\/\/127\.0\.0\.1:\d+\/data/);
  t.match(second.stdout, 'table: 0 16384 mirror disk 2 mirror-data/log.img 1024');
  t.match(await second.stop(), { status: 0 });
  t.notMatch(second.stderr, /resynchronising|created/, 'it was in sync and is there');
});

/** Then signals, descriptors and process ids reach it. */
function isServer(pid: number): boolean {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return words.some((word) => word.endsWith('bin/nbd-mirror'));
}

t.test('scripts/serve hands all arguments on', async (t) => {
  const cwd = tempDir(t);
  const { status, stdout } = await start(
    t,
    cwd,
    ...['--leg', 'memory:a,size=1M', '--leg', 'memory:b,size=1M', '--region-size', '64K'],
    ...['--run', 'echo "got $uri"; exit 5'],
  ).ended;
  t.equal(status, 5);
  t.match(stdout, /^got nbd\+unix/m);
  const help = await start(t, cwd, '--help').ended;
  t.match(help, { status: 0, stdout: /Usage: nbd-mirror serve/ });
  const wrong = await start(t, cwd, '--leg', 'x', '--frobnicate').ended;
  t.match(wrong, { status: 2, stderr: /unknown option '--frobnicate'/ });
});
