/**
 * A seed becomes a verdict: a machine, a workload and power cuts drawn from it, checked after every
 * cut.
 *
 * The same seed gives the same run, byte for byte of its trace: nothing here knows the time of day,
 * and whatever is drawn is drawn from the seed.
 */

import { Prng } from '../base/prng.ts';
import { checkLogCoversDivergence } from './checkers/log-covers-divergence.ts';
import { FAILURE_UNMARKED, LEG_ERROR_FORGIVEN, STALE_READ } from './expected-losses.ts';
import type { ExpectedLoss, Finding } from './findings.ts';
import { checkLife, type LifeOptions, playLife } from './lives.ts';
import { chooseFates, formatFates } from './machine/fates.ts';
import { INITIAL_WRITE } from './machine/sector-payload.ts';
import { imagesAfter } from './machine/sim-machine.ts';
import type { StackFactory } from './machine/sim-stack.ts';
import type { AllowedContents } from './oracle.ts';
import { initialImages } from './scenario.ts';
import { drawSimOptions, type SimOptions } from './sim-options.ts';
import { Situation } from './situation.ts';
import { runWorkload } from './workload.ts';

export interface RunOptions {
  readonly stackFactory: StackFactory;
  /** Gets the options drawn, and one line for each event. */
  readonly trace?: (line: string) => void;
}

export interface Verdict {
  readonly seed: string;
  readonly options: SimOptions;
  readonly events: number;
  readonly findings: readonly Finding[];
  /** How often each named loss showed up. */
  readonly expectedLosses: ReadonlyMap<string, number>;
}

/** What random errors may lead to with `handle_errors`; without it none are armed. */
const EXPECTED_LOSSES: readonly ExpectedLoss[] = [LEG_ERROR_FORGIVEN, STALE_READ, FAILURE_UNMARKED];

export async function runSeed(seed: string, run: RunOptions): Promise<Verdict> {
  const options = drawSimOptions(seed);
  const { setup, dirty } = options;
  run.trace?.(`seed ${seed} ${JSON.stringify(options)}`);
  const judge = new Judge(setup.table.regionSizeSectors);
  let events = 0;
  let images = initialImages({ setup, log: dirty === null ? 'blank' : { dirty } });
  let allowed: readonly AllowedContents[] = Array.from({ length: setup.legSectors }, () => ({
    ids: [INITIAL_WRITE],
    anything: false,
  }));
  // What was lost stays lost: the oracle has nothing to say of lives behind that.
  for (let cuts = 0; cuts < options.cuts && judge.heardNothing; cuts++) {
    const prng = new Prng(`${seed}/cut ${cuts}`);
    const lifeOptions: LifeOptions = {
      setup,
      images,
      allowed,
      seed: `${seed}/life ${cuts}`,
      stackFactory: run.stackFactory,
      ...(run.trace === undefined ? {} : { trace: run.trace }),
    };
    const cutAt = prng.between(1, options.cutAtMax);
    const life = await playLife({ ...lifeOptions, cutAt }, (play) =>
      runWorkload(play, options.workload),
    );
    const states = life.machine.states();
    allowed = life.oracle.afterPowerCut();
    judge.situation.learn(life);
    judge.hear(life.machine.findings);
    judge.hear(checkLogCoversDivergence(states, life.machine.table, allowed));
    const unflushed = states.flatMap((state) => state.unflushed);
    const fates = prng.pick(chooseFates(unflushed, { whole: 8, torn: 8 }, prng).lists);
    run.trace?.(`power cut: ${formatFates(fates)}`);
    images = imagesAfter(states, fates);
    const checked = await checkLife({ ...lifeOptions, images, allowed });
    judge.hear(checked.machine.findings);
    events += life.machine.events + checked.machine.events;
  }
  const { findings, expectedLosses } = judge;
  for (const { checker, message } of findings) run.trace?.(`! ${checker}: ${message}`);
  return { seed, options, events, findings, expectedLosses };
}

/** Sorts findings into losses that are expected and those that are not. */
class Judge {
  readonly situation: Situation;
  readonly findings: Finding[] = [];
  readonly expectedLosses = new Map<string, number>();

  constructor(regionSizeSectors: number) {
    this.situation = new Situation(regionSizeSectors);
  }

  get heardNothing(): boolean {
    return this.findings.length === 0 && this.expectedLosses.size === 0;
  }

  hear(findings: readonly Finding[]): void {
    for (const finding of findings) {
      const loss = EXPECTED_LOSSES.find((expected) => expected.covers(finding, this.situation));
      if (loss === undefined) this.findings.push(finding);
      else this.expectedLosses.set(loss.name, (this.expectedLosses.get(loss.name) ?? 0) + 1);
    }
  }
}
