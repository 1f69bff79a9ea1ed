/**
 * The power is cut at every event of a repair; then the machine starts again with the table that is
 * on record, and everything that was acknowledged must be there, on every leg.
 */

import t, { type Test } from 'tap';
import { OK } from '../../../src/base/errno.ts';
import { Prng } from '../../../src/base/prng.ts';
import { SECTOR_SIZE } from '../../../src/base/units.ts';
import { detachLeg } from '../../../src/daemon/repair/split-leg.ts';
import type { RecordedTable, TableRecord } from '../../../src/daemon/repair/table-record.ts';
import { encodeLogHeader, LOG_MAGIC, LOG_VERSION } from '../../../src/dirtylog/log-header.ts';
import { parseMirrorLine } from '../../../src/mirror/mirror-line.ts';
import type { RepairPolicies } from '../../../src/mirror/repair-table.ts';
import { contentsAfter, type DeviceState } from '../../../src/sim/machine/device-state.ts';
import { byEffort } from '../../support/effort.ts';
import {
  DATA_SECTORS,
  type Images,
  REGION_SECTORS,
  RepairMachine,
  type RepairMachineOptions,
  tableOf,
} from '../../support/repair-machine.ts';

const REMOVE: RepairPolicies = { image: 'remove', log: 'remove' };
const ALLOCATE: RepairPolicies = { image: 'allocate', log: 'allocate' };
const REGIONS = DATA_SECTORS / REGION_SECTORS;

interface Story {
  readonly name: string;
  readonly table: string;
  readonly policies: RepairPolicies;
  readonly spares?: readonly string[];
  /** What goes wrong; the device, and the words of the fault. */
  readonly faults: readonly (readonly [device: string, words: string])[];
  /** Done in the midst of the writes. */
  readonly also?: (machine: RepairMachine) => Promise<void>;
}

const DISK3 = '0 32 mirror disk 2 log 8 3 a 0 b 0 c 0 1 handle_errors';
const DISK2 = '0 32 mirror disk 2 log 8 2 a 0 b 0 1 handle_errors';
const KEEPING = '0 32 mirror disk 2 log 8 3 a 0 b 0 c 0 2 handle_errors keep_log';
const CORE3 = '0 32 mirror core 1 8 3 a 0 b 0 c 0 1 handle_errors';

const STORIES: readonly Story[] = [
  { name: 'leg 2 of 3 removed', table: DISK3, policies: REMOVE, faults: [['c', 'offline']] },
  { name: 'leg 0 of 3 removed', table: DISK3, policies: REMOVE, faults: [['a', 'offline']] },
  {
    name: 'leg 0 of 2 removed',
    table: DISK2,
    policies: REMOVE,
    faults: [['a', 'error --op write']],
  },
  { name: 'leg 1 removed, core log', table: CORE3, policies: REMOVE, faults: [['b', 'offline']] },
  { name: 'leg 1 removed, keep_log', table: KEEPING, policies: REMOVE, faults: [['b', 'offline']] },
  {
    name: 'two legs removed',
    table: DISK3,
    policies: REMOVE,
    faults: [
      ['a', 'offline'],
      ['c', 'error --op write --count 1'],
    ],
  },
  {
    name: 'a leg removed that has written, another that cannot flush',
    table: CORE3,
    policies: REMOVE,
    faults: [
      ['a', 'error --op write'],
      ['b', 'error --op flush'],
    ],
  },
  {
    name: 'leg 1 of 2 replaced',
    table: DISK2,
    policies: ALLOCATE,
    spares: ['s'],
    faults: [['b', 'offline']],
  },
  {
    name: 'leg 0 of 3 replaced, core log',
    table: CORE3,
    policies: ALLOCATE,
    spares: ['s'],
    faults: [['a', 'offline']],
  },
  {
    name: 'a spare fails while it is copied to',
    table: DISK2,
    policies: ALLOCATE,
    spares: ['s'],
    faults: [
      ['b', 'offline'],
      ['s', 'error --op write --after 2'],
    ],
  },
  { name: 'log removed', table: DISK3, policies: REMOVE, faults: [['log', 'offline']] },
  {
    name: 'log replaced',
    table: DISK2,
    policies: ALLOCATE,
    spares: ['old-log'],
    faults: [['log', 'error --op flush']],
  },
  ...Array.from({ length: 8 }, (_, after): Story => {
    const words = `error --op write --after ${after}`;
    return {
      name: `log replaced, then leg 2 removed, from write ${after} on`,
      table: DISK3,
      policies: { image: 'remove', log: 'allocate' },
      spares: ['old-log'],
      faults: [
        ['log', 'error --op write --count 1'],
        ['c', words],
      ],
    };
  }),
  {
    name: 'log and leg 0 replaced',
    table: DISK3,
    policies: ALLOCATE,
    spares: ['old-log', 's'],
    faults: [
      ['log', 'offline'],
      ['a', 'offline'],
    ],
  },
  {
    name: 'leg 0 split off',
    table: DISK3,
    policies: REMOVE,
    faults: [],
    also: async (machine) => {
      const record = machine.rememberingRecord();
      await machine.inTurn(() => detachLeg(machine.device, 0, record)).catch(() => {});
    },
  },
];

/**
 * What each sector may hold: its last acknowledged write, or one that was not acknowledged since.
 */
class Expected {
  readonly #allowed: number[][] = Array.from({ length: DATA_SECTORS }, () => [0]);

  begin(sector: number, fill: number): void {
    this.#allowed[sector]!.push(fill);
  }

  acknowledged(sector: number, fill: number): void {
    this.#allowed[sector] = [fill];
  }

  allows(sector: number, fill: number): boolean {
    return this.#allowed[sector]!.includes(fill);
  }
}

/**
 * Legs and spares hold something else, and the log's spare the old log of another time: all clean.
 */
function imagesBefore(): Images {
  const leg = (fill: number): Uint8Array => new Uint8Array(DATA_SECTORS * SECTOR_SIZE).fill(fill);
  const oldLog = new Uint8Array(DATA_SECTORS * SECTOR_SIZE);
  encodeLogHeader({ magic: LOG_MAGIC, version: LOG_VERSION, regionCount: BigInt(REGIONS) }, oldLog);
  oldLog[1024] = 0xff;
  return new Map([
    ['a', leg(0)],
    ['b', leg(0xbb)],
    ['c', leg(0xcc)],
    ['s', leg(0x55)],
    ['old-log', oldLog],
    ['log', leg(0)],
  ]);
}

interface Life {
  readonly machine: RepairMachine;
  readonly expected: Expected;
  /** Events before the story begins: cuts there are other tests' business. */
  readonly firstEvent: number;
}

async function live(story: Story, options: Partial<RepairMachineOptions>): Promise<Life> {
  const { policies, spares = [] } = story;
  const machine = new RepairMachine({
    images: imagesBefore(),
    table: tableOf(story.table),
    policies,
    spares,
    seed: story.name,
    ...options,
  });
  const expected = new Expected();
  let firstEvent = 0;
  const write = async (sector: number, fill: number): Promise<void> => {
    expected.begin(sector, fill);
    const result = await machine.write(sector, fill);
    if (result === OK && machine.power.on) expected.acknowledged(sector, fill);
  };
  await machine.run(async () => {
    await machine.start();
    await machine.inSync();
    for (const sector of [0, 9, 30]) await write(sector, 1);
    await machine.idle();
    firstEvent = machine.events + 1;
    for (const [device, words] of story.faults) machine.fault(device, words);
    const also = story.also?.(machine);
    await Promise.all([write(1, 2), write(9, 3), write(17, 4)]);
    await Promise.all([write(1, 5), write(25, 6), write(30, 7)]);
    await also;
    await machine.inSync();
    for (const sector of [2, 10, 9]) await write(sector, 8);
    await machine.idle();
  });
  return { machine, expected, firstEvent };
}

/** The images at a cut, if the unflushed writes have these fates. */
function imagesAfter(states: readonly DeviceState[], prng: Prng | 'lost' | 'kept'): Images {
  return new Map(
    states.map((state) => {
      const fates = state.unflushed.map(() =>
        typeof prng === 'string' ? prng : prng.chance(1, 2) ? ('kept' as const) : ('lost' as const),
      );
      return [state.name, contentsAfter(state, fates)];
    }),
  );
}

/** What a cut leaves. */
interface Remains {
  readonly images: Images;
  readonly recorded: RecordedTable;
}

/** A machine that starts from them. */
function revive(
  { images, recorded }: Remains,
  policies: RepairPolicies,
  options: { readonly cutAt?: number } = {},
): RepairMachine {
  const { lines: table, unsettled } = recorded;
  return new RepairMachine({ images, table, unsettled, policies, seed: 'next life', ...options });
}

interface Verdict {
  /** Everything that is wrong with a machine that starts from these remains. */
  readonly problems: readonly string[];
  /** In that machine's life. */
  readonly events: number;
}

async function judge(
  expected: Expected,
  remains: Remains,
  policies: RepairPolicies,
): Promise<Verdict> {
  const problems: string[] = [];
  const machine = revive(remains, policies);
  const readAll = async (when: string): Promise<void> => {
    for (let sector = 0; sector < DATA_SECTORS; sector++) {
      const [fill] = await machine.read(sector);
      if (!expected.allows(sector, fill!)) {
        problems.push(`${when}: sector ${sector} holds ${fill}`);
      }
    }
  };
  await machine.run(async () => {
    await machine.start();
    await readAll('at once');
    await machine.inSync();
    await machine.idle();
    await readAll('in sync');
    const table = await machine.table();
    if (/ (sync|nosync) /.test(table) && !table.includes('core')) problems.push(`left: ${table}`);
    const line = tableOf(table)[0]!;
    if (line.type !== 'mirror') return;
    const legs = parseMirrorLine(line).legs.map(({ deviceName }) => deviceName);
    const states = machine.states().filter(({ name }) => legs.includes(name));
    const [first, ...others] = [...imagesAfter(states, 'kept').entries()];
    for (const [name, bytes] of others) {
      if (!Buffer.from(bytes).equals(first![1])) problems.push(`${name} differs from ${first![0]}`);
    }
  });
  return { problems, events: machine.events };
}

/** The power is cut once more while the machine starts, resynchronises, and settles its table. */
async function cutAgain(
  remains: Remains,
  policies: RepairPolicies,
  { cutAt, prng }: { readonly cutAt: number; readonly prng: Prng },
): Promise<Remains> {
  const machine = revive(remains, policies, { cutAt });
  await machine.run(async () => {
    await machine.start();
    await machine.inSync();
    await machine.idle();
  });
  return { images: imagesAfter(machine.states(), prng), recorded: machine.recorded };
}

interface Sweep {
  readonly cuts: number;
  readonly problems: readonly string[];
  readonly uncut: Life;
}

async function sweep(
  story: Story,
  options: Partial<RepairMachineOptions>,
  { stride, problemsMax }: { readonly stride: number; readonly problemsMax: number },
): Promise<Sweep> {
  const uncut = await live(story, options);
  const problems: string[] = [];
  let cuts = 0;
  const examine = async (life: Life, when: string): Promise<void> => {
    const { policies } = story;
    const { recorded } = life.machine;
    const states = life.machine.states();
    const prng = new Prng(when);
    const check = async (name: string, remains: Remains): Promise<number> => {
      cuts += 1;
      const found = await judge(life.expected, remains, policies);
      const where = `${story.name}, ${when}, ${name}`;
      problems.push(...found.problems.map((problem) => `${where}: ${problem}`));
      return found.events;
    };
    for (const fates of ['lost', 'kept', prng] as const) {
      const remains = { images: imagesAfter(states, fates), recorded };
      const name = typeof fates === 'string' ? fates : 'drawn';
      const events = await check(name, remains);
      for (let again = 0; fates === prng && again < CUTS_AGAIN && events > 0; again++) {
        const cutAt = prng.between(1, events);
        const left = await cutAgain(remains, policies, { cutAt, prng });
        await check(`${name}, again at ${cutAt}`, left);
      }
    }
  };
  for (let event = uncut.firstEvent; event <= uncut.machine.events; event += stride) {
    if (problems.length >= problemsMax) break;
    await examine(await live(story, { ...options, cutAt: event }), `event ${event}`);
  }
  await examine(uncut, 'the end');
  return { cuts, problems, uncut };
}

/** After each cut one machine is cut so often again, somewhere in its next life. */
const CUTS_AGAIN = byEffort({ quick: 1, standard: 1, full: 5 });
const STRIDE = byEffort({ quick: 11, standard: 3, full: 1 });

for (const story of STORIES) {
  t.test(`the power is cut at any event: ${story.name}`, async (t) => {
    const { cuts, problems, uncut } = await sweep(story, {}, { stride: STRIDE, problemsMax: 5 });
    t.comment(`${cuts} machines after a cut`);
    t.strictSame(problems, []);
    t.not(await tableAtEnd(uncut), story.table, 'the table was replaced');
    t.ok(
      story.faults.every((_, index) => uncut.machine.faults.list()[index]!.fired > 0),
      'every fault struck',
    );
  });
}

async function tableAtEnd({ machine }: Life): Promise<string> {
  let table = '';
  await machine.run(async () => {
    table = await machine.table();
  });
  return table;
}

// --- what the sweep would see if the order were another -----------------------------------------

const LEG_0_REMOVED = STORIES.find(({ name }) => name === 'leg 0 of 3 removed')!;
const LOG_REPLACED = STORIES.find(({ name }) => name === 'log replaced')!;
const forgetful: TableRecord = { check: async () => {}, put: async () => {} };

function mustSee(what: string, story: Story, options: Partial<RepairMachineOptions>): void {
  t.test(`the sweep sees ${what}`, async (t: Test) => {
    const { problems } = await sweep(story, options, { stride: 1, problemsMax: 1 });
    t.ok(problems.length > 0, `${problems.length} problems, such as ${problems[0]}`);
  });
}

mustSee('a leg that comes back because nothing was recorded', LEG_0_REMOVED, {
  record: () => forgetful,
});
mustSee('a record that is made only later', LEG_0_REMOVED, {
  record: (machine) => {
    const record = machine.rememberingRecord();
    return {
      check: async () => {},
      put: async (device, table) => {
        void machine.idle(3).then(() => record.put(device, table));
      },
    };
  },
});
mustSee('a new log that is believed after a crash', LOG_REPLACED, {
  record: (machine) => {
    const record = machine.rememberingRecord();
    const trusting = (text: string): string => text.replace(' sync ', ' nosync ');
    return {
      check: async () => {},
      put: (device, { lines, unsettled }) =>
        record.put(device, {
          lines: lines.map((line) => ({
            ...line,
            args: line.args.map((word) => trusting(` ${word} `).trim()),
          })),
          unsettled,
        }),
    };
  },
});
