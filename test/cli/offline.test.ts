/** `log show` and `compare`: what is printed of files that lie there, and the exit status. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runCommand } from '../support/command.ts';
import { goldenBytes } from '../support/golden.ts';
import { tempDir } from '../support/temp-dir.ts';

t.test('log show prints a log that a kernel wrote', async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, 'log.img'), goldenBytes('disk-crash-dirty.after-power-cut.bin'));
  const text = await runCommand(['log', 'show', 'log.img'], { cwd });
  t.equal(text.status, 0);
  t.match(text.stdout, /header {3}magic 0x4d695272, version 2, \d+ regions/);
  t.match(text.stdout, /\d+ clean, [1-9]\d* dirty/);
  const json = await runCommand(['log', 'show', '--json', 'log.img'], { cwd });
  t.match(JSON.parse(json.stdout), { verdict: 'valid', header: { version: 2 } });
});

t.test('log show says what a mirror would not believe', async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, 'text.log'), 'Dear diary,\n'.repeat(200));
  const { status, stdout } = await runCommand(['log', 'show', 'text.log'], { cwd });
  t.match(stdout, /is not a log's: every region counts as dirty/);
  t.equal(status, 1);
});

t.test('compare tells legs that are equal, covered and not covered by the log', async (t) => {
  const cwd = tempDir(t);
  const leg = Buffer.alloc(1_048_576, 7);
  writeFileSync(join(cwd, 'a.img'), leg);
  writeFileSync(join(cwd, 'b.img'), leg);
  const mirror = ['--leg', 'a.img', '--leg', 'b.img', '--log', 'disk:log.img', '--nosync'];
  const words = ['serve', ...mirror, '--region-size', '64K', '--create', '--run', 'true'];
  t.equal((await runCommand(words, { cwd })).status, 0);
  const compare = (...more: string[]) =>
    runCommand(['compare', 'a.img', 'b.img', '--region-size', '64K', ...more], { cwd });
  t.match(await compare('--log', 'log.img'), { status: 0, stdout: /legs are equal\n$/ });
  leg[5 * 65_536] = 8;
  writeFileSync(join(cwd, 'b.img'), leg);
  t.match(await compare(), { status: 1, stdout: /region {2}5 .*leg 1 differs from leg 0/ });
  t.match(await compare('--log', 'log.img'), { status: 2, stdout: /NOT COVERED by the log/ });
  const json = await compare('--log', 'log.img', '--json');
  t.match(JSON.parse(json.stdout), { differingRegions: 1, uncoveredRegions: 1 });
  t.match(await compare('--size', '256K'), { status: 0 });
  const twice = await compare('--log', './b.img');
  t.match(twice, { status: 2, stderr: /log ".\/b.img" is the same file as leg "b.img"/ });
  const itself = await runCommand(['compare', 'a.img', './a.img'], { cwd });
  t.match(itself, { status: 2, stderr: /leg ".\/a.img" is the same file as leg "a.img"/ });
  const shifted = ['compare', 'a.img,offset=64K', 'b.img,offset=64K', '--region-size', '64K'];
  t.match(await runCommand(shifted, { cwd }), { status: 1, stdout: /region {2}4 / });
});
