/**
 * What a sweep or a random run found, in lines for people; each failure with the command that
 * repeats it.
 */

import { formatCrashPath } from './crash-path.ts';
import type { SweepFailure, SweepReport } from './crash-sweep.ts';
import type { Verdict } from './run.ts';

const FAILURES_SHOWN_MAX = 5;

export function describeSweep(report: SweepReport): string[] {
  const { outcomes, states, nested } = report;
  const perLife = report.cuts.map((count, life) => `${count} in life ${life}`).join(', ');
  const cuts = perLife === '' ? 'as asked' : perLife;
  const lines = [
    `${report.failures.length === 0 ? 'ok' : 'FAILED'} ${report.scenario}`,
    `  seed ${report.seed}; cuts: ${cuts}; machines started: ${report.lives}`,
    `  outcomes of whole writes explored: ${outcomes.explored} of ${outcomes.total}; ` +
      `states: ${states.distinct} different of ${states.reached}; ` +
      `cut again: ${nested.explored} of ${nested.total}`,
  ];
  for (const [name, count] of report.expectedLosses) {
    lines.push(`  expected loss ${name}: seen ${count} times`);
  }
  for (const failure of report.failures.slice(0, FAILURES_SHOWN_MAX)) {
    lines.push(`  ${failure.finding.checker}: ${failure.finding.message}`);
    lines.push(`    ${replayCommand(report, failure)}`);
  }
  const more = report.failures.length - FAILURES_SHOWN_MAX;
  if (more > 0) lines.push(`  and ${more} more`);
  return lines;
}

/** The command that runs just this way to the failure, and traces it. */
export function replayCommand(report: SweepReport, failure: SweepFailure): string {
  const steps = formatCrashPath(failure.path)
    .split(' ')
    .filter((step) => step !== '')
    .map((step) => `--at ${step}`);
  const trace = steps.length === 0 ? [] : ['--trace'];
  const words = ['--scenario', report.scenario, '--seed', report.seed, ...steps, ...trace];
  return `nbd-mirror crash ${words.join(' ')}`;
}

export function describeVerdict(verdict: Verdict): string[] {
  const { seed, events, findings } = verdict;
  const lines = [`${findings.length === 0 ? 'ok' : 'FAILED'} seed ${seed}: ${events} events`];
  for (const [name, count] of verdict.expectedLosses) {
    lines.push(`  expected loss ${name}: seen ${count} times`);
  }
  for (const { checker, message } of findings.slice(0, FAILURES_SHOWN_MAX)) {
    lines.push(`  ${checker}: ${message}`);
  }
  if (findings.length > 0) lines.push(`    nbd-mirror crash --random 1 --seed ${seed} --trace`);
  return lines;
}
