/**
 * Prints what the benchmark found: medians, and how ours stand to the peers' and to what is wanted.
 */

import { SERVER_NAMES, type ServerName } from './bench-servers.ts';
import type { Measurement, Workload } from './bench-workloads.ts';

export interface FootprintRow {
  readonly name: string;
  readonly values: readonly number[];
  readonly unit: string;
  readonly atMost: number;
}

type Results = Readonly<Record<string, Partial<Record<ServerName, Measurement[]>>>>;

export function printWorkloads(
  works: readonly Workload[],
  names: readonly ServerName[],
  results: Results,
): void {
  const peers = SERVER_NAMES.filter((name) => name !== 'mirror' && names.includes(name));
  const header = ['workload', 'unit', ...names, ...peers.map((peer) => `x ${peer}`), 'wanted'];
  const rows = works.map((work) => {
    const figure = (name: ServerName) => medianOf(work, results[work.name]?.[name] ?? []);
    const ratios = peers.map((peer) => ratio(figure('mirror') / figure(peer)));
    const wanted = peers
      .filter((peer) => names.includes('mirror') && work.wanted[peer] !== undefined)
      .map((peer) => {
        const met = figure('mirror') / figure(peer) >= work.wanted[peer]!;
        return `${peer} ${work.wanted[peer]!.toFixed(1)} ${met ? 'met' : 'MISSED'}`;
      });
    const figures = names.map((name) => Math.round(figure(name)).toLocaleString('en'));
    return [work.name, work.unit, ...figures, ...ratios, wanted.join(', ')];
  });
  printTable([header, ...rows]);
}

export function printFootprint(rows: readonly FootprintRow[]): void {
  console.log();
  printTable([
    ['footprint of nbd-mirror', 'unit', 'median', 'wanted'],
    ...rows.map(({ name, values, unit, atMost }) => {
      const value = median(values);
      const met = value <= atMost ? 'met' : 'MISSED';
      return [name, unit, value.toFixed(0), `at most ${atMost} ${met}`];
    }),
  ]);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return sorted.length === 0 ? Number.NaN : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function medianOf(work: Workload, measurements: readonly Measurement[]): number {
  return median(measurements.map((m) => (work.unit === 'IOPS' ? m.iops : m.mibPerSecond)));
}

function ratio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : '-';
}

/** Columns as wide as their widest cell; numbers to the right. */
function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    const cells = row.map((cell, column) => {
      const isNumber = /^[\d,.-]+$|^NaN$/.test(cell);
      return isNumber ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!);
    });
    console.log(cells.join('  ').trimEnd());
  }
}
