/** A server that waits for something at its start can be told to stop. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { COMMAND_WORDS } from '../support/command.ts';
import { tempDir } from '../support/temp-dir.ts';

const STATUS_OF_SIGTERM = 128 + 15;

function serve(cwd: string, ...words: string[]): ChildProcess {
  const [program, ...args] = [...COMMAND_WORDS, 'serve', ...words, '--run', 'true'];
  return spawn(program!, args, { cwd, stdio: ['pipe', 'ignore', 'inherit'] });
}

t.test('serve stops although the rest of its table does not come', async (t) => {
  const child = serve(tempDir(t), '--table-file', '-');
  // More than any pipe holds: it is reading.
  await new Promise((resolve) => child.stdin!.write('#\n'.repeat(1_500_000), resolve));
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [STATUS_OF_SIGTERM, null]);
});

t.test('serve stops although the server of a leg does not answer', async (t) => {
  const cwd = tempDir(t);
  const mute = createServer();
  mute.listen(join(cwd, 'mute'));
  const leg = ['--leg', 'nbd+unix:///?socket=mute'];
  const child = serve(cwd, '--size', '1M', '--leg', 'memory:a,size=1M', ...leg);
  const [connection] = await once(mute, 'connection');
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [STATUS_OF_SIGTERM, null]);
  connection.destroy();
  mute.close();
});
