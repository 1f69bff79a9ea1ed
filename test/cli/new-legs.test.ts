/** `serve --create` where some legs are there, some not: nothing is lost, and nobody lies. */

import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runCommand } from '../support/command.ts';
import { tempDir } from '../support/temp-dir.ts';

const LEGS = ['--leg', 'a.img', '--leg', 'b.img', '--size', '1M', '--region-size', '64K'];
const DATA = Buffer.alloc(1_048_576, 7);

/** A mirror with two equal legs and a log that says so. */
async function makeMirror(t: Test): Promise<{
  file: (name: string) => string;
  serve: (...words: string[]) => ReturnType<typeof runCommand>;
}> {
  const cwd = tempDir(t);
  const file = (name: string): string => join(cwd, name);
  const serve = (...words: string[]) =>
    runCommand(['serve', ...LEGS, '--create', '--run', 'true', ...words], { cwd });
  writeFileSync(file('a.img'), DATA);
  copyFileSync(file('a.img'), file('b.img'));
  t.match(await serve('--log', 'disk:log.img', '--nosync'), { status: 0 });
  return { file, serve };
}

t.test('serve --create: a new leg is not believed to be equal by an old log', async (t) => {
  const { file, serve } = await makeMirror(t);
  for (const leg of ['a.img', 'b.img']) {
    rmSync(file(leg));
    const refused = await serve('--log', 'disk:log.img');
    t.match(refused, { status: 2, stderr: new RegExp(`Cannot create leg "${leg}": the log`) });
    t.match(refused.stderr, /--sync/);
    t.notOk(existsSync(file(leg)), 'nothing was made');
    writeFileSync(file(leg), DATA);
  }
  rmSync(file('b.img'));
  t.match(await serve('--log', 'disk:log.img', '--sync'), { status: 0 });
});

t.test('serve --create: an empty leg is not copied over one with data', async (t) => {
  const { file, serve } = await makeMirror(t);
  rmSync(file('a.img'));
  for (const log of [['disk:new.img'], ['disk:log.img', '--sync']]) {
    const refused = await serve('--log', ...log);
    t.match(refused, { status: 2, stderr: /Cannot create leg "a.img": .* over "b.img"/ }, `${log}`);
  }
  t.ok(readFileSync(file('b.img')).equals(DATA));
  t.notOk(existsSync(file('a.img')));
  t.notOk(existsSync(file('new.img')));
  t.match(await serve('--log', 'core', '--nosync'), { status: 0 }, 'whoever insists');
});

t.test('serve --create: what was begun and not finished is gone on with', async (t) => {
  const { file, serve } = await makeMirror(t);
  for (const missing of [
    ['b.img', 'log.img'],
    ['a.img', 'b.img'],
  ]) {
    for (const name of missing) rmSync(file(name));
    t.match(await serve('--log', 'disk:log.img'), { status: 0 }, `without ${missing}`);
  }
});
