/**
 * Every table that the kernel refused is refused here with the kernel's own words, and nothing is
 * left open or written; every one that it accepted is accepted. The tables are those of the golden
 * cases.
 */

import t from 'tap';
import type { UserError } from '../../src/base/failure.ts';
import { type GoldenStep, loadGoldenCase } from '../support/golden.ts';
import { MirrorRig } from '../support/mirror-rig.ts';

const CASES = [
  'rejected-log',
  'rejected-disk-log',
  'rejected-legs',
  'rejected-features',
  'rejected-targets',
];

/** The kernel's names of the disks in every case. */
const ALIASES = new Map([
  ['254:0', 'leg0'],
  ['254:16', 'leg1'],
  ['254:32', 'leg2'],
  ['254:48', 'spare'],
  ['254:64', 'log'],
]);

/** `dmsetup create NAME --table TABLE`, of tables that need no other mapped device. */
function createdTable(step: GoldenStep): string | null {
  if (step.kind !== 'command') return null;
  const [program, verb, , flag, table] = step.words;
  if (program !== 'dmsetup' || verb !== 'create' || flag !== '--table') return null;
  return table === undefined || table.includes('253:') ? null : table;
}

/** The messages that tell why, most telling last: the log's own, then the target's. */
function reasonsOf(step: GoldenStep): string[] {
  return step.messages.flatMap((message) => {
    const found =
      /device-mapper: dirty region log: (.*)$/.exec(message) ??
      /device-mapper: table: \d+:\d+: (?:[a-z]+: )?(.*?)(?: \(-E[A-Z]+\))?$/.exec(message);
    return found === null ? [] : [found[1]!];
  });
}

function messagesOf(error: UserError): (string | undefined)[] {
  const cause = error.cause as UserError | undefined;
  return [error.kernelMessage, cause?.kernelMessage];
}

for (const name of CASES) {
  t.test(`golden: ${name}: tables are judged as the kernel judged them`, async (t) => {
    const { steps } = loadGoldenCase(name);
    let judged = 0;
    for (const step of steps) {
      const table = createdTable(step);
      if (table === null) continue;
      judged += 1;
      const rig = new MirrorRig({ sectors: 65536, logSectors: 2048, aliases: ALIASES });
      if (step.status === 0) {
        await rig.start(table);
        await rig.settle();
        await rig.perform(rig.device.close());
      } else {
        const error = await rig.refusal(table);
        for (const reason of reasonsOf(step)) {
          const expected = reason.replace(/^vda /, '254:0 ').replace(/^vdb /, '254:16 ');
          t.ok(
            messagesOf(error).some((message) => named(message) === expected),
            `${table}: "${expected}", not "${messagesOf(error).join('" or "')}"`,
          );
        }
        t.same(rig.trace, [], `${table}: nothing was read or written`);
      }
      for (const disk of ['leg0', 'leg1', 'leg2', 'log']) {
        if (rig.wasOpened(disk)) t.ok(rig.disk(disk).closed, `${table}: ${disk} is closed again`);
      }
    }
    t.ok(judged > 3, `${judged} tables were judged`);
  });
}

/** Disks of the rig have names, those of the kernel numbers. */
function named(message: string | undefined): string | undefined {
  return message?.replace(/^leg0 /, '254:0 ').replace(/^leg1 /, '254:16 ');
}
