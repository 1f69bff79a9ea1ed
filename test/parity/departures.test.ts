/** Tables that the kernel judges otherwise, as docs/quirks.md says; recorded from 6.1. */

import t from 'tap';
import { UserError } from '../../src/base/failure.ts';
import { EmulatedMachine } from '../support/emulated-machine.ts';

const LEGS = '2 254:0 0 254:16 0';

const REFUSED_HERE: readonly [why: string, table: string, message: RegExp][] = [
  ['a table without a line', '', /no line/],
  ['a length of -1', '0 -1 linear 254:0 0', /length "-1"/],
  ['a device with three numbers', '0 8 linear 254:0:0 0', /no such device/],
  ['a region size of 2^32+1024', `0 16384 mirror core 1 4294968320 ${LEGS}`, /region size/],
  ['2^32+2 legs', '0 16384 mirror core 1 1024 4294967298 254:0 0 254:16 0', /number of legs/],
  ['an offset of 2^64-1', '0 8 linear 254:0 18446744073709551615', /number of sectors/],
];

t.test('Departures: tables that the kernel takes, or misreads, and we refuse', async (t) => {
  for (const [why, table, message] of REFUSED_HERE) {
    const machine = await EmulatedMachine.create();
    const job = machine.createDevice('m', table);
    await t.rejects(machine.done(job), UserError, why);
    t.match((job.error as UserError).message, message, why);
    t.same(machine.map.list(), [], `${why}: no device stays`);
  }
});

t.test('Departures: features of flakey that Linux 6.1 refuses', async (t) => {
  const features = ['1 error_reads', '2 random_read_corrupt 5', '2 random_write_corrupt 5'];
  for (const words of features) {
    const machine = await EmulatedMachine.create();
    const table = `0 8 flakey 254:0 0 1 2 ${words}`;
    await machine.done(machine.createDevice('m', table));
    t.same(await machine.done(machine.lines('m', 'table')), [`${table} `]);
  }
});
