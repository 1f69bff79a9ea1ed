/** Tables of what the throughput section measured. */

import { availableParallelism } from 'node:os';
import type { Workload } from './fio.ts';
import { FIRST_GOALS, GOALS, type Goal } from './goals.ts';
import { OUR_NAMES, PEER_NAMES, type ServerName } from './server.ts';
import { median, medianRatio } from './statistics.ts';
import { formatFigure, formatGoal, type Table } from './table.ts';

/** What is measured: a server, or the physical limit. */
export type Subject = ServerName | 'limit';

export interface Measurement {
  readonly iops: number;
  readonly mibPerSecond: number;
  readonly p99Microseconds: number;
  /** Of the server, per request. */
  readonly cpuMicroseconds: number;
  readonly clientCores: number;
}

/** By workload, then by subject; an element for each round. */
export type Results = Record<string, Partial<Record<Subject, Measurement[]>>>;

const SMALL_BYTES = 4096;

export function reportThroughput(
  works: readonly Workload[],
  subjects: readonly Subject[],
  results: Results,
): Table[] {
  const report = new Report(works, subjects, results);
  const tables = [
    report.throughput(),
    report.goals('Ratios, and what is wanted', GOALS),
    report.goals('Ratios that the first version was built to', FIRST_GOALS),
    report.cpuTime(),
    report.clientTime(),
    report.bestOfCores(),
    report.shareOfLimit(),
  ];
  return tables.filter((table) => table.rows.length > 0 && table.header.length > 1);
}

class Report {
  readonly #works: readonly Workload[];
  readonly #subjects: readonly Subject[];
  readonly #results: Results;

  constructor(works: readonly Workload[], subjects: readonly Subject[], results: Results) {
    this.#works = works;
    this.#subjects = subjects;
    this.#results = results;
  }

  throughput(): Table {
    return {
      title: 'Throughput',
      header: ['workload', 'unit', ...this.#subjects],
      rows: this.#works.map((work) => {
        const isSmall = work.blockBytes === SMALL_BYTES;
        const cells = this.#medians(work, isSmall ? 'iops' : 'mibPerSecond');
        return [work.name, isSmall ? 'IOPS' : 'MiB/s', ...cells];
      }),
    };
  }

  goals(title: string, goals: readonly Goal[]): Table {
    const ours = OUR_NAMES.filter((name) => this.#subjects.includes(name));
    const peers = PEER_NAMES.filter((name) => this.#subjects.includes(name));
    const measured = goals.filter(
      ({ work, against }) => peers.includes(against) && work in this.#results,
    );
    return {
      title,
      header: ['workload', 'against', ...ours],
      rows: measured.map(({ work, against, wanted }) => [
        work,
        against,
        ...ours.map((name) => formatGoal(this.#ratio(work, name, against), wanted[name])),
      ]),
    };
  }

  cpuTime(): Table {
    return {
      title: 'CPU time of the server per request, microseconds',
      header: ['workload', ...this.#subjects],
      rows: this.#works.map((work) => [work.name, ...this.#medians(work, 'cpuMicroseconds')]),
    };
  }

  clientTime(): Table {
    const servers = this.#subjects.filter((subject) => subject !== 'limit');
    return {
      title: 'CPU time of fio per request, microseconds',
      header: ['workload', ...servers],
      rows: this.#works.map((work) => [
        work.name,
        ...servers.map((name) => formatFigure(median(this.#clientTimes(work.name, name)))),
      ]),
    };
  }

  /** The client needs its part of the cores; what is left bounds what a server can do. */
  bestOfCores(): Table {
    const ours = OUR_NAMES.filter((name) => this.#subjects.includes(name));
    const isMeasured = this.#subjects.includes('nbdkit');
    return {
      title: 'If no core ever idled, at these prices: x nbdkit as measured',
      header: ['workload', ...ours],
      rows: (isMeasured ? this.#works : []).map(({ name: work }) => [
        work,
        ...ours.map((name) => {
          const clientTimes = this.#clientTimes(work, name);
          const best = this.#column(work, name, 'cpuMicroseconds').map(
            (server, round) => (availableParallelism() * 1e6) / (server + clientTimes[round]!),
          );
          const ratio = medianRatio(best, this.#column(work, 'nbdkit', 'iops'));
          return formatGoal(ratio, undefined);
        }),
      ]),
    };
  }

  shareOfLimit(): Table {
    const isMeasured = this.#subjects.includes('limit');
    const servers = this.#subjects.filter((subject) => subject !== 'limit');
    return {
      title: 'Share of the physical limit that was reached',
      header: ['workload', ...servers],
      rows: (isMeasured ? this.#works : []).map((work) => [
        work.name,
        ...servers.map((name) => formatGoal(this.#ratio(work.name, name, 'limit'), undefined)),
      ]),
    };
  }

  #ratio(work: string, subject: Subject, other: Subject): number {
    return medianRatio(this.#column(work, subject, 'iops'), this.#column(work, other, 'iops'));
  }

  #clientTimes(work: string, subject: Subject): number[] {
    return (this.#results[work]?.[subject] ?? []).map(
      ({ clientCores, iops }) => (clientCores * 1e6) / iops,
    );
  }

  #medians(work: Workload, key: keyof Measurement): string[] {
    return this.#subjects.map((subject) =>
      formatFigure(median(this.#column(work.name, subject, key))),
    );
  }

  #column(work: string, subject: Subject, key: keyof Measurement): number[] {
    return (this.#results[work]?.[subject] ?? []).map((measurement) => measurement[key]);
  }
}
