/** How the cost of a request grows with what there is much of; a table, and a picture, for each. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Figure, type Figures, GROWTHS, type Growth } from './growth-kinds.ts';
import type { Section, SectionResult } from './section.ts';
import { median, shuffled } from './statistics.ts';
import { type Chart, drawChart } from './svg-chart.ts';
import { formatFigure, type Table } from './table.ts';
import type { Workbench } from './workbench.ts';

const NAMES: Readonly<Record<Figure, { readonly title: string; readonly unit: string }>> = {
  cpuMicroseconds: { title: 'CPU time of the server', unit: 'microseconds per request' },
  iops: { title: 'Throughput', unit: 'requests per second' },
  memoryMiB: { title: 'Resident memory', unit: 'MiB' },
  readyMs: { title: 'Start to ready', unit: 'milliseconds' },
  makeMs: { title: 'Time to make them all', unit: 'milliseconds' },
};

/** By line, then by point; an element for each round. */
type Results = Record<string, Record<string, Figures[]>>;

export const GROWTH: Section = {
  name: 'growth',
  summary: 'how cost grows; with --plot, pictures too',
  parts: GROWTHS.map(({ id }) => `growth-${id}`),
  onDemand: true,
  async run(bench, parts): Promise<SectionResult> {
    const chosen = GROWTHS.filter(({ id }) => parts.includes(`growth-${id}`));
    const tables: Table[] = [];
    const figures: Record<string, Results> = {};
    for (const growth of chosen) {
      const results = await measure(bench, growth);
      figures[growth.id] = results;
      tables.push(...growth.figures.map(({ figure }) => toTable(growth, results, figure)));
      const { plot } = bench.options;
      if (plot === null) continue;
      mkdirSync(plot, { recursive: true });
      writeFileSync(join(plot, `${growth.id}.svg`), drawChart(toChart(growth, results)));
    }
    return { tables, figures };
  },
};

async function measure(bench: Workbench, growth: Growth): Promise<Results> {
  const results: Results = Object.fromEntries(growth.lines.map((line) => [line, {}]));
  for (let round = 0; round < bench.options.rounds; round++) {
    for (const point of shuffled(growth.points)) {
      for (const line of shuffled(growth.lines)) {
        bench.progress(`round ${round + 1}: ${growth.id}, ${line}, ${point}`);
        await bench.pause();
        const figures = await growth.measure(bench, line, point);
        await bench.stop();
        if (figures === null) continue;
        const own = results[line]!;
        own[point] = [...(own[point] ?? []), figures];
      }
    }
  }
  return results;
}

function toTable(growth: Growth, results: Results, figure: Figure): Table {
  const { title, unit } = NAMES[figure];
  return {
    title: `${growth.title}: ${title}, ${unit}`,
    header: [growth.x.label, ...growth.lines],
    rows: growth.points.map((point) => [
      growth.x.ticks?.find((tick) => tick.value === point)?.label ?? `${point}`,
      ...growth.lines.map((line) => formatFigure(median(column(results, line, point, figure)))),
    ]),
  };
}

function toChart(growth: Growth, results: Results): Chart {
  const { title, subtitle, x } = growth;
  const panels = growth.figures.map(({ figure, scale }) => ({
    title: NAMES[figure].title,
    x,
    y: { label: NAMES[figure].unit, scale },
    lines: growth.lines.map((name) => ({
      name,
      points: growth.points.flatMap((point) => {
        const values = column(results, name, point, figure);
        const ends = { low: Math.min(...values), high: Math.max(...values) };
        return values.length === 0 ? [] : [{ x: point, y: median(values), ...ends }];
      }),
    })),
  }));
  return { title, subtitle, panels };
}

function column(results: Results, line: string, point: number, figure: Figure): number[] {
  const all = (results[line]?.[point] ?? []).map((figures) => figures[figure]);
  return all.filter((value) => value !== undefined);
}
