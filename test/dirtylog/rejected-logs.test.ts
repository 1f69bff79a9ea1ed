/** Every log that the kernel's transcripts refuse is refused here, with the kernel's own detail. */

import t from 'tap';
import { UserError } from '../../src/base/failure.ts';
import type { DirtyLog } from '../../src/dirtylog/dirty-log.ts';
import { findLogType, LOG_TYPES } from '../../src/dirtylog/log-types.ts';
import { asInTable } from '../../src/dm/device-naming.ts';
import { type GoldenStep, loadGoldenCase } from '../support/golden.ts';
import { FakeTarget, LogDisk } from '../support/log-fixture.ts';

const DETAIL = 'device-mapper: dirty region log: ';

interface Attempt {
  readonly words: readonly string[];
  readonly target: FakeTarget;
}

/** The log words of a table line, by their count; null where the count itself is at fault. */
function attemptOf(table: string, disks: readonly LogDisk[]): Attempt | null {
  const [, length, , type, count, ...rest] = table.split(' ');
  if (!/^[0-9]+$/.test(count!) || Number(count) > rest.length) return null;
  const words = [type!, ...rest.slice(0, Number(count))];
  return { words, target: new FakeTarget(Number(length), disks) };
}

async function create({ words: [name, ...args], target }: Attempt): Promise<DirtyLog> {
  return findLogType(LOG_TYPES, name!).create({ target, args, flushLegs: () => 0 });
}

function tableOf(step: GoldenStep, device: string): string | null {
  if (step.kind !== 'command') return null;
  const [program, verb, name, option, table] = step.words;
  const isCreation = program === 'dmsetup' && verb === 'create' && name === device;
  return isCreation && option === '--table' ? table! : null;
}

t.test('Logs are refused as the kernel refuses them', async (t) => {
  let refusals = 0;
  for (const name of ['rejected-log', 'rejected-disk-log', 'disk-too-small']) {
    const disks = [new LogDisk({})];
    const { steps } = loadGoldenCase(name);
    for (const [index, step] of steps.entries()) {
      const small = tableOf(step, 'small');
      if (small !== null) {
        disks[1] = new LogDisk({ name: '253:0', bytes: Number(small.split(' ')[1]) * 512 });
      }
      const table = tableOf(step, 'm');
      const attempt = table === null ? null : attemptOf(table, disks);
      if (attempt === null) continue;
      const where = `${name}:${step.lineNumber} ${attempt.words.join(' ')}`;
      const detail = step.messages.find((line) => line.startsWith(DETAIL))?.slice(DETAIL.length);
      const atLog = step.messages.some((line) => line.includes('Error creating mirror dirty log'));
      if (!atLog) {
        // The log is good; what the table was refused for otherwise is not the log's affair.
        const log = await create(attempt);
        const shown = steps[index + 1]?.output[0];
        if (step.status === 0)
          t.match(shown, `mirror ${await log.status('table', asInTable)} `, where);
        continue;
      }
      const error = await create(attempt).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      refusals += 1;
      t.type(error, UserError, where);
      t.equal((error as UserError).kernelMessage, detail, where);
      t.match((error as UserError).message, /^Cannot (create mirror log|open).*: /, where);
      t.equal(attempt.target.heldCount, 0, `${where}: nothing stays open`);
    }
  }
  t.ok(refusals > 30, `${refusals} refusals`);
});

t.test('Refusals that the transcripts do not have', async (t) => {
  const readOnly = new LogDisk({});
  readOnly.capabilities = { ...readOnly.capabilities, readOnly: true };
  const cases = [
    [['core', '1024', ''], 16384, 'log-sync-word', /sync word is "", must be sync or nosync/],
    [['core', '3'], 16384, 'log-region-size', /region size is 3 sectors, must be a power of two/],
    [['core', '8192'], 4096, 'log-region-size', /8192 sectors, must be at most .* 4096/],
    [['core', '8589934592'], 2 ** 40, 'log-region-size', /must be a decimal number .* below 2\^32/],
    [['core', '2'], 2 ** 34, 'log-region-count', /8589934592 regions, must be at most 4294967295/],
    [['disk', '254:64', '8'], 16384, 'log-read-only', /"254:64" is read-only, must be writable/],
    [['disk'], 16384, 'log-arguments', /0 log arguments are given/],
    [['Disk', '254:64', '8'], 16384, 'log-type-unknown', /must be one of core, disk/],
    [['core', 'x'.repeat(5000)], 16384, 'log-region-size', /^.{0,250}$/],
  ] as const;
  for (const [words, length, code, message] of cases) {
    const target = new FakeTarget(length, [readOnly]);
    await t.rejects(create({ words, target }), { code, message }, words.join(' ').slice(0, 80));
    t.equal(target.heldCount, 0);
  }
  const target = new FakeTarget(16384);
  const refusal = await create({ words: ['CORE', '8'], target }).catch((error) => error);
  t.match(refusal, { hint: 'Did you mean "core"?' });
});
