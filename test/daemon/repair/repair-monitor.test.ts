import t from 'tap';
import { EIO, OK } from '../../../src/base/errno.ts';
import { UserError } from '../../../src/base/failure.ts';
import { SECTOR_SIZE } from '../../../src/base/units.ts';
import type { RepairPolicies } from '../../../src/mirror/repair-table.ts';
import {
  type Images,
  RepairMachine,
  type RepairMachineOptions,
  tableOf,
  textOfTable,
} from '../../support/repair-machine.ts';

const REMOVE: RepairPolicies = { image: 'remove', log: 'remove' };
const ALLOCATE: RepairPolicies = { image: 'allocate', log: 'allocate' };
const THREE = '0 32 mirror disk 2 log 8 3 a 0 b 0 c 0 1 handle_errors';
const CORE = '0 32 mirror core 1 8 2 a 0 b 0 1 handle_errors';

function disks(): Images {
  const zeros = (): Uint8Array => new Uint8Array(32 * SECTOR_SIZE);
  return new Map(['a', 'b', 'c', 's', 't', 'log'].map((name) => [name, zeros()]));
}

/** A mirror in sync, on a machine of its own. */
async function mirror(
  table: string,
  options: Partial<RepairMachineOptions> = {},
): Promise<RepairMachine> {
  const machine = new RepairMachine({
    images: disks(),
    table: tableOf(table),
    policies: REMOVE,
    ...options,
  });
  await machine.run(async () => {
    await machine.start();
    await machine.inSync();
    await machine.idle();
  });
  return machine;
}

t.test('a write that a failed leg holds up ends in the table without the leg', async (t) => {
  const machine = await mirror(THREE);
  await machine.run(async () => {
    machine.fault('a', 'offline');
    const results = await Promise.all([1, 9, 17].map((sector) => machine.write(sector, sector)));
    t.strictSame(results, [OK, OK, OK]);
    await machine.inSync();
    t.equal(await machine.table(), '0 32 mirror disk 2 log 8 2 b 0 c 0 1 handle_errors');
    t.strictSame((await machine.read(9))[0], 9);
  });
  t.match(machine.told, [
    {
      type: 'repaired',
      fields: {
        old: THREE,
        new: '0 32 mirror disk 2 log 8 2 b 0 c 0 1 handle_errors',
        reason: /leg 0 "a" has failed \(D\)/,
        regionsAtRisk: 0,
      },
    },
  ]);
  t.equal(textOfTable(machine.recorded), '0 32 mirror disk 2 log 8 2 b 0 c 0 1 handle_errors');
});

t.test('without a policy nothing is repaired', async (t) => {
  const machine = await mirror(THREE, { policies: null });
  await machine.run(async () => {
    machine.fault('c', 'offline');
    let result: number | null = null;
    void machine.write(1, 1).then((ended) => {
      result = ended;
    });
    await machine.idle(5000);
    t.equal(result, null, 'the write is held');
    t.match(await machine.status(), / 1 AAD /);
  });
});

t.test('errors of reading and of copying alone start no repair', async (t) => {
  const machine = await mirror(THREE);
  await machine.run(async () => {
    machine.fault('a', 'error --op read --count 1');
    await machine.read(3);
    await machine.idle();
    t.match(await machine.status(), / 1 RAA /);
    t.equal(await machine.table(), THREE);
    machine.fault('c', 'offline');
    await machine.write(1, 1);
    t.equal(await machine.table(), '0 32 linear b 0', 'but count when one runs');
  });
});

t.test('two legs that fail at once go at once', async (t) => {
  const machine = await mirror(THREE);
  await machine.run(async () => {
    machine.fault('a', 'offline');
    machine.fault('c', 'offline');
    t.strictSame(await Promise.all([machine.write(1, 1), machine.write(9, 2)]), [OK, OK]);
    t.equal(await machine.table(), '0 32 linear b 0');
  });
});

t.test('a leg that fails while another is taken out is taken out too', async (t) => {
  const machine = await mirror(THREE, {
    record: (self) => {
      const record = self.rememberingRecord();
      let puts = 0;
      return {
        check: async () => {},
        put: async (device, table) => {
          puts += 1;
          if (puts === 1) self.fault('b', 'offline');
          await record.put(device, table);
        },
      };
    },
  });
  await machine.run(async () => {
    machine.fault('a', 'offline');
    t.strictSame(await Promise.all([machine.write(1, 1), machine.write(9, 2)]), [OK, OK]);
    t.equal(await machine.table(), '0 32 linear c 0');
    t.equal((await machine.read(1))[0], 1);
  });
  t.strictSame(
    machine.told.map(({ type }) => type),
    ['repaired', 'repaired'],
  );
});

t.test('a spare takes the place of a leg, is copied to, and then believed', async (t) => {
  const machine = await mirror(THREE, { policies: ALLOCATE, spares: ['s'] });
  await machine.run(async () => {
    await machine.write(20, 7);
    machine.fault('b', 'offline');
    t.equal(await machine.write(1, 1), OK);
    await machine.inSync();
    await machine.idle();
    t.equal(await machine.table(), '0 32 mirror disk 2 log 8 3 a 0 c 0 s 0 1 handle_errors');
    t.match(await machine.status(), / 4\/4 1 AAA /);
  });
  t.strictSame(
    machine.told.map(({ type }) => type),
    ['repaired', 'settled'],
  );
  const [spare] = machine.states().filter(({ name }) => name === 's');
  t.equal(spare!.durable[20 * SECTOR_SIZE], 7);
});

t.test('a failed log is replaced by one that starts as it was', async (t) => {
  const machine = await mirror(THREE, { policies: ALLOCATE, spares: ['t'] });
  await machine.run(async () => {
    machine.fault('log', 'offline');
    t.strictSame(await Promise.all([machine.write(1, 1), machine.write(9, 2)]), [OK, OK]);
    await machine.idle();
    t.equal(await machine.table(), '0 32 mirror disk 2 t 8 3 a 0 b 0 c 0 1 handle_errors');
    t.match(await machine.status(), / 4\/4 1 AAA 3 disk t A$/);
  });
  t.notOk(machine.recorded.unsettled);
});

t.test('a failed log without a spare is kept in memory', async (t) => {
  const machine = await mirror(THREE, { policies: ALLOCATE });
  await machine.run(async () => {
    machine.fault('log', 'error --op flush');
    t.equal(await machine.write(1, 1), OK);
    t.equal(await machine.table(), '0 32 mirror core 2 8 nosync 3 a 0 b 0 c 0 1 handle_errors');
  });
  t.equal(
    textOfTable(machine.recorded),
    '0 32 mirror core 1 8 3 a 0 b 0 c 0 1 handle_errors',
    'after a crash nothing is believed',
  );
});

t.test('a spare that cannot be opened is left out, and the next one taken', async (t) => {
  const machine = await mirror(THREE, {
    policies: ALLOCATE,
    spares: ['s', 't'],
    unopenable: ['s'],
  });
  await machine.run(async () => {
    machine.fault('c', 'offline');
    t.equal(await machine.write(1, 1), OK);
    await machine.inSync();
    await machine.idle();
    t.equal(await machine.table(), '0 32 mirror disk 2 log 8 3 a 0 b 0 t 0 1 handle_errors');
  });
  t.match(
    machine.told[0]!.fields.reason,
    /spare "s" is left out as leg: a table with it was refused/,
  );
});

t.test('spares that fail as well are used up, and then the legs go', async (t) => {
  for (const table of [CORE, CORE.replace('core 1 8', 'disk 2 log 8')]) {
    const machine = await mirror(table, { policies: ALLOCATE, spares: ['s', 't'] });
    await machine.run(async () => {
      machine.fault('b', 'error --op write');
      // One while it is copied to, the other later.
      machine.fault('s', 'error --op write --after 2');
      machine.fault('t', 'error --op write --after 4');
      for (let sector = 0; sector < 32; sector += 8) t.equal(await machine.write(sector, 3), OK);
      await machine.inSync();
      await machine.idle();
      for (let sector = 0; sector < 32; sector += 8) t.equal(await machine.write(sector, 4), OK);
      t.equal(await machine.table(), '0 32 linear a 0');
    });
    t.strictSame(
      machine.told.filter(({ type }) => type === 'repaired').length,
      3,
      'one repair for each that failed',
    );
  }
});

t.test('a leg that cannot be copied to after a repair is taken out too', async (t) => {
  const machine = await mirror(THREE);
  await machine.run(async () => {
    machine.fault('b', 'offline');
    // The write that is held reaches it; what is copied afterwards does not.
    machine.fault('c', 'error --op write --after 1');
    t.equal(await machine.write(1, 1), OK);
    t.equal(await machine.table(), '0 32 linear a 0');
  });
  t.match(machine.told[1]!.fields.reason, /leg 1 "c" has failed \(S\)/);
});

t.test('a mirror that has lost all legs is left to the operator, once', async (t) => {
  const machine = await mirror(THREE);
  await machine.run(async () => {
    for (const name of ['a', 'b', 'c']) machine.fault(name, 'offline');
    t.equal(await machine.write(1, 1), EIO);
    t.equal(await machine.write(9, 1), EIO);
    await machine.idle(5000);
    t.equal(await machine.table(), THREE);
    t.match(machine.told, [
      { type: 'repair-failed', fields: { reason: /all 3 legs have failed \(DDD\)/ } },
    ]);
  });
});

t.test(
  'a repair that cannot be recorded leaves the old table, and is not tried again',
  async (t) => {
    let puts = 0;
    const machine = await mirror(THREE, {
      record: () => ({
        check: async () => {},
        put: async () => {
          puts += 1;
          throw new UserError('record-failed', 'Cannot record the new table: no space');
        },
      }),
    });
    await machine.run(async () => {
      const fault = machine.fault('c', 'offline');
      const results: number[] = [];
      for (const sector of [1, 9])
        void machine.write(sector, 5).then((ended) => results.push(ended));
      await machine.idle(5000);
      t.strictSame(results, [], 'the writes are held still');
      t.equal(await machine.table(), THREE);
      t.notOk(machine.device.suspended);
      t.equal(puts, 1);
      t.match(machine.told, [{ type: 'repair-failed', fields: { reason: /no space/ } }]);

      // The operator mends the leg, and loads the table anew, which forgets the failure.
      machine.faults.remove(fault);
      await machine.inTurn(() => machine.device.load(tableOf(THREE)));
      await machine.inTurn(() => machine.device.suspend({ noflush: true }));
      await machine.inTurn(() => machine.device.resume());
      await machine.idle();
      t.strictSame(results, [OK, OK]);
    });
  },
);

t.test('a device that an operator has suspended is repaired once it is resumed', async (t) => {
  const machine = await mirror(THREE);
  await machine.run(async () => {
    machine.fault('c', 'hang --op write');
    const write = machine.write(1, 1);
    const suspended = machine.inTurn(() => machine.device.suspend({ noflush: true }));
    await machine.idle();
    machine.faults.remove(machine.faults.list()[0]!, EIO);
    await suspended;
    await machine.idle(3000);
    t.equal(await machine.table(), THREE);
    t.ok(machine.device.suspended);
    await machine.inTurn(() => machine.device.resume());
    t.equal(await write, OK);
    await machine.idle(2000);
    t.equal(await machine.table(), '0 32 mirror disk 2 log 8 2 a 0 b 0 1 handle_errors');
  });
});

t.test('a leg that hangs is no failure until it is given up', async (t) => {
  const machine = await mirror(THREE);
  await machine.run(async () => {
    const fault = machine.fault('b', 'hang --op write');
    const write = machine.write(1, 1);
    await machine.idle(5000);
    t.equal(fault.held, 1);
    t.equal(await machine.table(), THREE);
    machine.faults.remove(fault, EIO);
    t.equal(await write, OK);
    t.equal(await machine.table(), '0 32 mirror disk 2 log 8 2 a 0 c 0 1 handle_errors');
  });
});
