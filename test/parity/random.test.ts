/**
 * A short batch of random programs against a real kernel, and a planted difference that has to be
 * found and shrunk. `scripts/parity` runs as many as one likes.
 */

import t from 'tap';
import { LOG_TYPES } from '../../src/dirtylog/log-types.ts';
import { ParallelLegIo } from '../../src/mirror/leg-io.ts';
import { createMirrorTargetType } from '../../src/mirror/mirror-target.ts';
import { byEffort } from '../support/effort.ts';
import { requireKernelVm } from '../support/kernel-vm.ts';
import { drawProgram } from '../support/parity/draw-program.ts';
import { isAgreed, judgePrograms } from '../support/parity/parity-run.ts';
import { describeProgram, type Program, type TableSpec } from '../support/parity/program.ts';
import { shrinkProgram } from '../support/parity/shrink.ts';
import { describeDifference } from '../support/parity/transcript.ts';
import { requireTool } from '../support/tools.ts';

const PROGRAMS = byEffort({ quick: 12, standard: 24, full: 400 });
const STEPS = 25;

/** A mirror that forgets its last leg when it writes. */
const forgetful = createMirrorTargetType({
  logTypes: LOG_TYPES,
  parts: { createLegIo: (legs, probe) => new ParallelLegIo(legs.slice(0, -1), probe) },
});

const TABLE: TableSpec = {
  length: 64,
  regionSize: 16,
  log: 'G0',
  sync: null,
  legs: [
    { disk: 'L0', offset: 0 },
    { disk: 'L1', offset: 8 },
  ],
  features: ['handle_errors'],
};

const CANARY: Program = {
  name: 'canary',
  machine: { disks: 2, diskSectors: 80, logSectors: 8, logGarbage: false },
  table: TABLE,
  steps: [
    { do: 'io', requests: [{ op: 'read', sector: 1, count: 9, tag: 0 }] },
    { do: 'suspend', noflush: false },
    { do: 'resume' },
    { do: 'io', requests: [{ op: 'write', sector: 20, count: 3, tag: 0x1000 }] },
    { do: 'io', requests: [{ op: 'flush', sector: 0, count: 0, tag: 0 }] },
    { do: 'remake', table: TABLE },
  ],
};

t.test('Random programs come out in the emulator as in a real kernel', async (t) => {
  if (!requireKernelVm(t) || !requireTool(t, 'cc')) return;
  const programs = Array.from({ length: PROGRAMS }, (_, index) =>
    drawProgram({ seed: `gate/${index}`, steps: STEPS }),
  );
  const judged = await judgePrograms(programs, { onBoot: (line) => t.comment(line) });
  for (const { program, verdict, difference } of judged) {
    const told = difference === null ? '' : `\n${describeDifference(difference)}`;
    if (verdict === 'different') t.fail(`${describeProgram(program)}${told}`);
    else if (verdict !== 'same') t.comment(`${program.name}: ${verdict}${told}`);
  }
  const agreed = judged.filter(({ verdict }) => isAgreed(verdict));
  t.ok(agreed.length >= PROGRAMS * 0.8, `${agreed.length} of ${PROGRAMS} programs agree`);
});

t.test('A mirror that forgets a leg is found, and the program shrunk to the write', async (t) => {
  if (!requireKernelVm(t) || !requireTool(t, 'cc')) return;
  const options = { mirrorType: forgetful, settleMs: [8], timings: 10 };
  const [judgement] = await judgePrograms([CANARY], options);
  t.equal(judgement!.verdict, 'different');
  t.equal(judgement!.difference?.step, 4);
  const { program, verdict } = await shrinkProgram(judgement!, options);
  t.equal(verdict, 'different');
  t.same(
    program.steps.map((step) => (step.do === 'io' ? step.requests[0]!.op : step.do)),
    ['write'],
  );
});
