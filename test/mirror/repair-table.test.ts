import fc from 'fast-check';
import t from 'tap';
import { formatTableLine, parseTable } from '../../src/dm/table-line.ts';
import { formatMirrorLine, parseMirrorLine } from '../../src/mirror/mirror-line.ts';
import type { MirrorCondition } from '../../src/mirror/next-table.ts';
import {
  needsRepair,
  planRepair,
  type RepairPlan,
  type RepairPolicies,
  type RepairPolicy,
  type Spare,
} from '../../src/mirror/repair-table.ts';
import { planSplit } from '../../src/mirror/split-table.ts';

const DISK = '0 64 mirror disk 2 log 8 3 a 0 b 16 c 0 1 handle_errors';
const CORE = '0 64 mirror core 1 8 3 a 0 b 16 c 0 2 handle_errors keep_log';
const REGIONS = 8;

interface Case {
  readonly line?: string;
  readonly health: string;
  readonly log?: string;
  readonly synced?: number;
  readonly defaultLeg?: number;
  readonly repairing?: boolean;
  readonly image?: RepairPolicy;
  readonly logPolicy?: RepairPolicy;
  readonly spares?: readonly Spare[];
}

function condition({ line = DISK, health, log = 'A', ...one }: Case): MirrorCondition {
  return {
    line: parseMirrorLine(parseTable(line)[0]!),
    health,
    logHealth: log,
    regionsInSync: one.synced ?? REGIONS,
    regionCount: REGIONS,
    defaultLeg: one.defaultLeg ?? 0,
    repairing: one.repairing ?? false,
  };
}

function spare(device: string, sizeSectors = 64, problem: string | null = null): Spare {
  return { device, sizeSectors, logicalBlockSize: 512, problem };
}

function plan(one: Case): RepairPlan {
  const policies = { image: one.image ?? 'remove', log: one.logPolicy ?? 'remove' } as const;
  const decision = planRepair(condition(one), policies, one.spares ?? []);
  if (decision.kind !== 'repair') throw new Error(`decided ${decision.kind}`);
  return decision.plan;
}

/** The line now; behind `=>` what settles it; behind `!` what is on record where that differs. */
function summary(one: Case): string {
  const { line, record, settled } = plan(one).next;
  const [text, recorded] = [formatTableLine(line), formatTableLine(record)];
  const then = settled === null ? '' : ` => ${settled.when}: ${formatTableLine(settled.line)}`;
  return `${text}${then}${recorded === text ? '' : ` ! ${recorded}`}`;
}

t.test('a mirror line is put together as it was taken apart', async (t) => {
  for (const line of [
    DISK,
    CORE,
    '8 64 mirror disk 3 a\\ b 8 nosync 2 a 0 b 16',
    '0 64 mirror core 2 8 sync 2 a 0 b 16',
    '0 64 mirror userspace 4 uuid-1 integrated_flush clustered-core 8 2 a 0 b 0 1 handle_errors',
  ]) {
    t.equal(formatTableLine(formatMirrorLine(parseMirrorLine(parseTable(line)[0]!))), line);
  }
});

t.test('needsRepair() acts on what LVM acts on', async (t) => {
  for (const health of ['AAA', 'ASA', 'RSR']) t.notOk(needsRepair(condition({ health })), health);
  for (const health of ['AAD', 'FAA', 'AUA', 'RDR']) {
    t.ok(needsRepair(condition({ health })), health);
  }
  t.ok(needsRepair(condition({ health: 'AAA', log: 'D' })));
  t.ok(needsRepair(condition({ health: 'AAA', log: 'F' })));
  const repairing = true;
  t.ok(needsRepair(condition({ health: 'AAS', repairing })), 'what a repair began has failed');
  t.notOk(needsRepair(condition({ health: 'RAA', repairing })));
});

const PLANS: [what: string, one: Case, expected: string][] = [
  [
    'a failed leg goes, the log stays',
    { health: 'AAD', synced: 7 },
    '0 64 mirror disk 2 log 8 2 a 0 b 16 1 handle_errors',
  ],
  [
    'words for one start go',
    { line: DISK.replace('3 a', '3 a').replace('2 log 8', '3 log 8 nosync'), health: 'DAA' },
    '0 64 mirror disk 2 log 8 2 b 16 c 0 1 handle_errors',
  ],
  ['a leg with a read error counts once a repair runs', { health: 'RAD' }, '0 64 linear b 16'],
  ['the last leg is linear', { health: 'DFA' }, '0 64 linear c 0'],
  [
    'a core log that is in sync says so, and not after a crash',
    { line: CORE, health: 'AAF' },
    '0 64 mirror core 2 8 nosync 2 a 0 b 16 2 handle_errors keep_log' +
      ' ! 0 64 mirror core 1 8 2 a 0 b 16 2 handle_errors keep_log',
  ],
  [
    'a core log that is not in sync starts anew',
    { line: CORE, health: 'AAD', synced: 7 },
    '0 64 mirror core 1 8 2 a 0 b 16 2 handle_errors keep_log',
  ],
  [
    'a promoted leg becomes the first where only it is current',
    { line: CORE, health: 'AAD', synced: 7, defaultLeg: 1 },
    '0 64 mirror core 1 8 2 b 16 a 0 2 handle_errors keep_log',
  ],
  [
    'a failed log is dropped',
    { health: 'AAA', log: 'D' },
    '0 64 mirror core 2 8 nosync 3 a 0 b 16 c 0 1 handle_errors' +
      ' ! 0 64 mirror core 1 8 3 a 0 b 16 c 0 1 handle_errors',
  ],
  [
    'a failed log is dropped out of sync',
    { health: 'AAA', log: 'F', synced: 3 },
    '0 64 mirror core 1 8 3 a 0 b 16 c 0 1 handle_errors',
  ],
  [
    'a spare leg is copied to, and not believed before',
    { health: 'ADA', synced: 7, image: 'allocate', spares: [spare('s')] },
    '0 64 mirror disk 3 log 8 sync 3 a 0 c 0 s 0 1 handle_errors' +
      ' => in sync: 0 64 mirror disk 2 log 8 3 a 0 c 0 s 0 1 handle_errors',
  ],
  [
    'a spare leg below a core log',
    { line: CORE, health: 'ADA', image: 'allocate', spares: [spare('s')] },
    '0 64 mirror core 1 8 3 a 0 c 0 s 0 2 handle_errors keep_log',
  ],
  [
    'a new log is believed once, where all is in sync, and never after a crash',
    { health: 'AAA', log: 'D', logPolicy: 'allocate', spares: [spare('s')] },
    '0 64 mirror disk 3 s 8 nosync 3 a 0 b 16 c 0 1 handle_errors' +
      ' => at once: 0 64 mirror disk 2 s 8 3 a 0 b 16 c 0 1 handle_errors' +
      ' ! 0 64 mirror disk 3 s 8 sync 3 a 0 b 16 c 0 1 handle_errors',
  ],
  [
    'a new log out of sync starts with everything dirty',
    { health: 'AAA', log: 'D', synced: 7, logPolicy: 'allocate', spares: [spare('s')] },
    '0 64 mirror disk 3 s 8 sync 3 a 0 b 16 c 0 1 handle_errors' +
      ' => in sync: 0 64 mirror disk 2 s 8 3 a 0 b 16 c 0 1 handle_errors',
  ],
  [
    'leg and log at once, from two spares',
    {
      health: 'DAA',
      log: 'D',
      image: 'allocate',
      logPolicy: 'allocate',
      spares: [spare('s'), spare('t', 3)],
    },
    '0 64 mirror disk 3 t 8 sync 3 b 16 c 0 s 0 1 handle_errors' +
      ' => in sync: 0 64 mirror disk 2 t 8 3 b 16 c 0 s 0 1 handle_errors',
  ],
  [
    'one leg left needs no log, spare or not',
    { health: 'DDA', log: 'D', logPolicy: 'allocate', spares: [spare('s')] },
    '0 64 linear c 0',
  ],
];

t.test('planRepair() gives these lines', async (t) => {
  for (const [what, one, expected] of PLANS) t.equal(summary(one), expected, what);
});

t.test('planRepair() says why', async (t) => {
  const spares = [spare('tiny', 63), spare('used', 64, 'it is in use by device "x"'), spare('s')];
  t.strictSame(plan({ health: 'ADD', image: 'allocate', spares }).reasons, [
    'leg 1 "b" has failed (D)',
    'leg 2 "c" has failed (D)',
    'spare "tiny" is left out as leg: it has 63 sectors, must have at least 64',
    'spare "used" is left out as leg: it is in use by device "x"',
    'spare "s" becomes leg',
    'spare "tiny" is left out as leg: it has 63 sectors, must have at least 64',
    'spare "used" is left out as leg: it is in use by device "x"',
    'no spare for a leg',
  ]);
  t.same(plan({ health: 'DAA', synced: 6 }).regionsAtRisk, 2, 'leg 0 was copied from');
  t.same(plan({ health: 'DAA', synced: 6, defaultLeg: 1 }).regionsAtRisk, 0, 'it had been left');
});

t.test('planRepair() leaves what cannot be helped', async (t) => {
  const policies: RepairPolicies = { image: 'allocate', log: 'allocate' };
  const decide = (health: string) => planRepair(condition({ health }), policies, [spare('s')]);
  t.match(decide('DDR'), { kind: 'hopeless', reason: 'all 3 legs have failed (DDR)' });
  t.match(decide('ASR'), { kind: 'healthy' });
});

t.test('planRepair() trusts nothing that need not be equal', async (t) => {
  const letters = fc.constantFrom('A', 'F', 'D', 'S', 'R', 'U');
  const cases = fc.record({
    line: fc.constantFrom(DISK, CORE, DISK.replace('2 log 8', '3 log 8 nosync')),
    health: fc.array(letters, { minLength: 3, maxLength: 3 }).map((all) => all.join('')),
    log: fc.constantFrom('A', 'D', 'F'),
    synced: fc.nat(REGIONS),
    defaultLeg: fc.nat(2),
    image: fc.constantFrom<RepairPolicy>('remove', 'allocate'),
    logPolicy: fc.constantFrom<RepairPolicy>('remove', 'allocate'),
    spares: fc.constantFrom([], [spare('s')], [spare('s'), spare('t')], [spare('tiny', 3)]),
  });
  fc.assert(
    fc.property(cases, (one) => {
      const log = one.line === CORE ? 'A' : one.log;
      const before = condition({ ...one, log });
      const decision = planRepair(before, { image: one.image, log: one.logPolicy }, one.spares);
      if (decision.kind !== 'repair') return;
      const { line, record, settled } = decision.plan.next;
      const old = before.line.legs.map(({ deviceName }) => deviceName);
      if (line.type === 'linear') {
        t.equal(one.health[old.indexOf(line.args[0]!)], 'A');
        return;
      }
      const [now, recorded] = [parseMirrorLine(line), parseMirrorLine(record)];
      const names = now.legs.map(({ deviceName }) => deviceName);
      const isNew = names.some((name) => !old.includes(name));
      for (const name of names) {
        if (old.includes(name)) t.equal(one.health[old.indexOf(name)], 'A', 'no failed leg stays');
      }
      t.ok(old.includes(names[0]!), 'the first leg has data');
      t.equal(new Set(names).size, names.length);
      const isOnRecord = recorded.log.kind === 'other' ? null : recorded.log.syncWord;
      t.not(isOnRecord, 'nosync', 'after a crash nothing is thrown away');
      if (now.log.kind === 'other') return;
      if (isNew || one.synced < REGIONS) t.not(now.log.syncWord, 'nosync');
      if (isNew && now.log.kind === 'disk')
        t.equal(isOnRecord, 'sync', 'a new leg is not believed');
      if (now.log.kind === 'disk' && now.log.device !== 'log') t.equal(isOnRecord, 'sync');
      if (now.log.kind === 'disk') t.equal(settled !== null, now.log.syncWord !== null);
      if (settled !== null) t.match(parseMirrorLine(settled.line).log, { syncWord: null });
    }),
    { numRuns: 2000 },
  );
});

t.test('planSplit() takes a leg that has everything, and no other', async (t) => {
  const split = (one: Case, leg: number) => planSplit(condition(one), leg);
  const { next, image } = split({ health: 'AAA' }, 1);
  t.strictSame(image, { deviceName: 'b', offset: 16 });
  t.equal(formatTableLine(next.line), '0 64 mirror disk 2 log 8 2 a 0 c 0 1 handle_errors');
  const two = '0 64 mirror disk 3 log 8 sync 2 a 0 b 16';
  t.equal(formatTableLine(split({ line: two, health: 'AA' }, 0).next.line), '0 64 linear b 16');
  t.throws(() => split({ health: 'AAA' }, 3), { code: 'no-leg', message: /must be 0 to 2/ });
  t.throws(() => split({ health: 'AAA', synced: 7 }, 0), {
    code: 'out-of-sync',
    message: /7 of 8 regions are in sync, must be all/,
  });
  t.throws(() => split({ health: 'AAR' }, 2), { code: 'leg-failed', message: /has failed \(R\)/ });
});
