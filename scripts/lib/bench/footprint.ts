/** Time to start, and memory: idle, and with the region maps of a huge device. */

import { scatter } from './fio.ts';
import type { Section, SectionResult } from './section.ts';
import { mirrorPlan } from './server.ts';
import { median } from './statistics.ts';
import { formatLimit } from './table.ts';
import type { Workbench } from './workbench.ts';

const TIB = 2 ** 40;
const STARTS = 5;
const SCATTERED_WRITES = 20_000;

interface Row {
  readonly name: string;
  readonly values: readonly number[];
  readonly unit: string;
  readonly atMost: number;
}

export const FOOTPRINT: Section = {
  name: 'footprint',
  summary: 'time to start, and memory',
  async run(bench): Promise<SectionResult> {
    const rows = [...(await measureStarts(bench)), ...(await measureHugeDevices(bench))];
    const table = {
      title: 'Footprint of nbd-mirror',
      header: ['what', 'median and wanted'],
      rows: rows.map(({ name, values, unit, atMost }) => [
        name,
        formatLimit(median(values), atMost, unit),
      ]),
    };
    return { tables: [table], figures: rows };
  },
};

async function measureStarts(bench: Workbench): Promise<Row[]> {
  const readyMs: number[] = [];
  const idleMiB: number[] = [];
  for (let start = 0; start < STARTS; start++) {
    bench.progress(`footprint: start ${start + 1}`);
    const server = await bench.start(mirrorPlan('core'), bench.options.sizeBytes);
    readyMs.push(server.readyMs);
    idleMiB.push(server.memoryMiB().now);
    await bench.stop();
  }
  return [
    { name: 'start to ready', values: readyMs, unit: 'ms', atMost: 500 },
    { name: 'memory, idle', values: idleMiB, unit: 'MiB', atMost: 120 },
  ];
}

async function measureHugeDevices(bench: Workbench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const log of ['core', 'disk'] as const) {
    bench.progress(`footprint: 8 TiB, ${log} log`);
    const server = await bench.start(mirrorPlan(log), 8 * TIB);
    await scatter(server.uri, 8 * TIB, SCATTERED_WRITES);
    const name = `memory at most, 8 TiB, 512 KiB regions, ${log} log, scattered writes`;
    rows.push({ name, values: [server.memoryMiB().most], unit: 'MiB', atMost: 200 });
    await bench.stop();
  }
  return rows;
}
