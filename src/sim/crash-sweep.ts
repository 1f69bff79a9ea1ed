/**
 * Cuts the power of a scenario at the first event, the second, the third …, until it completes
 * uncut; and for each cut explores what may become of the unflushed writes, starts the machine
 * again on what survived, checks it, lets it resynchronise, checks again, and, as deep as the
 * scenario asks, cuts that life too.
 *
 * States that were explored before (equal contents, equal expectations, the same life) are not
 * explored again: a machine that is off is nothing but its contents. The model is SQLite's crash
 * test loop.
 */

import { Prng } from '../base/prng.ts';
import { checkLogCoversDivergence } from './checkers/log-covers-divergence.ts';
import { type CrashStep, formatCrashPath, IDLE, STOP } from './crash-path.ts';
import type { CheckerName, Finding } from './findings.ts';
import {
  checkAtRest,
  checkLife,
  type Life,
  type LifeOptions,
  playLife,
  recoverLife,
} from './lives.ts';
import { chooseFates, type FateBudget } from './machine/fates.ts';
import {
  type MachineImages,
  type MachineSetup,
  type MirrorTable,
  tableLine,
} from './machine/machine-setup.ts';
import { INITIAL_WRITE } from './machine/sector-payload.ts';
import { imagesAfter } from './machine/sim-machine.ts';
import type { StackFactory } from './machine/sim-stack.ts';
import type { AllowedContents } from './oracle.ts';
import type { Play } from './play.ts';
import { initialImages, type Scenario, tableOfLife } from './scenario.ts';
import { Situation } from './situation.ts';
import { stateKey } from './state-key.ts';

export interface SweepOptions {
  readonly seed: string;
  readonly stackFactory: StackFactory;
  readonly fates?: FateBudget;
  /** For cuts of a start or a recovery, of which there are many. */
  readonly nestedFates?: FateBudget;
  /** At most so many more cuts, whatever the scenario asks. */
  readonly nestedMax?: number;
  /** Only this path; everything on it is traced, if anything is. */
  readonly path?: readonly CrashStep[];
  /** Ends as soon as this checker has found something. */
  readonly stopAtFirst?: CheckerName;
  readonly trace?: (line: string) => void;
}

export interface SweepFailure {
  readonly finding: Finding;
  readonly path: readonly CrashStep[];
}

export interface SweepReport {
  readonly scenario: string;
  readonly seed: string;
  /** Cuts per life: of the scenario, of the restart, of the restart after that. */
  readonly cuts: readonly number[];
  /** Machines switched on. */
  readonly lives: number;
  /** Outcomes of whole unflushed writes: those explored, and those there are. */
  readonly outcomes: { readonly explored: number; readonly total: number };
  /** States reached after cuts, and how many of them were different. */
  readonly states: { readonly reached: number; readonly distinct: number };
  /** States whose start and recovery were cut at every event, and those that might have been. */
  readonly nested: { readonly explored: number; readonly total: number };
  readonly failures: readonly SweepFailure[];
  /** How often each named loss showed up. */
  readonly expectedLosses: ReadonlyMap<string, number>;
}

const FATES: FateBudget = { whole: 16, torn: 4 };
const NESTED_FATES: FateBudget = { whole: 4, torn: 2 };

export function sweep(scenario: Scenario, options: SweepOptions): Promise<SweepReport> {
  return new CrashSweep(scenario, options).run();
}

class CrashSweep {
  readonly #scenario: Scenario;
  readonly #options: SweepOptions;
  readonly #cuts: number[] = [];
  #lives = 0;
  #explored = 0;
  #total = 0;
  #reached = 0;
  #nestable = 0;
  #nested = 0;
  /** Depth of nesting to which a state was explored. */
  readonly #known = new Map<string, number>();
  readonly #failures: SweepFailure[] = [];
  readonly #losses = new Map<string, number>();
  readonly #situation: Situation;

  constructor(scenario: Scenario, options: SweepOptions) {
    this.#scenario = scenario;
    this.#options = options;
    this.#situation = new Situation(scenario.setup.table.regionSizeSectors);
    for (const { name } of scenario.expectedLosses ?? []) this.#losses.set(name, 0);
  }

  async run(): Promise<SweepReport> {
    const scenario = this.#scenario;
    await this.#cutLife({
      life: 0,
      table: scenario.setup.table,
      images: initialImages(scenario),
      allowed: Array.from({ length: scenario.setup.legSectors }, () => ({
        ids: [INITIAL_WRITE],
        anything: false,
      })),
      path: [],
      nested: Math.min(scenario.nested ?? 0, this.#options.nestedMax ?? Number.POSITIVE_INFINITY),
    });
    if (this.#options.path === undefined) this.#judgeExpectedLosses();
    return {
      scenario: scenario.name,
      seed: this.#options.seed,
      cuts: this.#cuts,
      lives: this.#lives,
      outcomes: { explored: this.#explored, total: this.#total },
      states: { reached: this.#reached, distinct: this.#known.size },
      nested: { explored: this.#nested, total: this.#nestable },
      failures: this.#failures,
      expectedLosses: this.#losses,
    };
  }

  get #done(): boolean {
    const { stopAtFirst } = this.#options;
    return this.#failures.some(({ finding }) => finding.checker === stopAtFirst);
  }

  /**
   * Lives a life again and again, cut at each of its events in turn, until it is not cut any more.
   */
  async #cutLife(state: State): Promise<void> {
    const wanted = this.#options.path?.[state.path.length];
    if (wanted !== undefined) {
      if (wanted.cut === STOP) await this.#stop(state);
      else if (!(await this.#cutAt(state, wanted.cut)) && wanted.cut !== IDLE) {
        const message = `life ${state.life} ended before it came to the cut that was asked for`;
        this.#failures.push({
          finding: { checker: 'results-expected', message },
          path: state.path,
        });
      }
      return;
    }
    for (let event = 1; !this.#done && (await this.#cutAt(state, event)); event++) {
      this.#cuts[state.life] = (this.#cuts[state.life] ?? 0) + 1;
    }
  }

  /** False when the life ended before the event came. */
  async #cutAt(state: State, cut: CrashStep['cut']): Promise<boolean> {
    const life = await this.#live(state, cut === IDLE ? undefined : cut);
    if (life.end === 'cut') await this.#wasCut(state, life, cut);
    else await this.#ended(state, life);
    return life.end === 'cut';
  }

  async #live(state: State, cutAt: CrashStep['cut'] | undefined): Promise<Life> {
    const options = this.#lifeOptions(state, cutAt);
    const life =
      state.life === 0
        ? await playLife(options, (play) => this.#script(play))
        : await recoverLife(options);
    this.#situation.learn(life);
    return life;
  }

  async #script(play: Play): Promise<void> {
    await this.#scenario.play(play);
    if (this.#scenario.endsHealthy !== true) return;
    await play.inSync();
    await play.readAll();
    await play.idle();
  }

  /** The life went to its end: it is judged, and its power is cut in the idle state it ended in. */
  async #ended(state: State, life: Life): Promise<void> {
    this.#report(life.machine.findings, [...state.path, { cut: IDLE, fates: null }]);
    if (life.end === 'completed') await this.#wasCut(state, life, IDLE);
    if (state.life === 0 && this.#scenario.endsHealthy === true) await this.#stop(state);
  }

  /** Instead of a power cut: looked at when at rest, stopped in order, and started again. */
  async #stop(state: State): Promise<void> {
    const options = this.#lifeOptions(state, undefined);
    const life = await playLife(options, async (play) => {
      await this.#script(play);
      await checkAtRest(play.machine, play, play.client.oracle.afterOrderlyStop());
    });
    const path = [...state.path, { cut: STOP, fates: null }];
    this.#report(life.machine.findings, path);
    if (life.end !== 'completed' || this.#done) return;
    await this.#restart({
      life: state.life + 1,
      table: tableOfLife(this.#scenario, state.life + 1, life.machine.table),
      images: life.machine.visibleImages(),
      allowed: life.oracle.afterOrderlyStop(),
      path,
      nested: 0,
    });
  }

  async #wasCut(state: State, life: Life, cut: CrashStep['cut']): Promise<void> {
    const { machine, oracle } = life;
    const states = machine.states();
    const allowed = oracle.afterPowerCut();
    const atCut = [...state.path, { cut, fates: null }];
    if (cut !== IDLE) this.#report(machine.findings, atCut);
    this.#report(checkLogCoversDivergence(states, machine.table, allowed), atCut);
    const unflushed = states.flatMap((device) => device.unflushed);
    const wanted = this.#options.path?.[state.path.length];
    if (wanted?.fates === null) return;
    const prng = new Prng(`${this.#options.seed}/${formatCrashPath(atCut)}`);
    const budget = this.#budget(state.life);
    const chosen = chooseFates(unflushed, budget, prng);
    this.#explored += chosen.explored;
    this.#total += chosen.total;
    for (const fates of wanted === undefined ? chosen.lists : [wanted.fates]) {
      if (this.#done) return;
      await this.#restart({
        life: state.life + 1,
        table: tableOfLife(this.#scenario, state.life + 1, machine.table),
        images: imagesAfter(states, fates),
        allowed,
        path: [...state.path, { cut, fates }],
        nested: state.life === 0 ? state.nested : state.nested - 1,
      });
    }
  }

  async #restart(state: State): Promise<void> {
    this.#reached += 1;
    const life = `${state.life}/${tableLine(state.table)}`;
    const key = `${life}/${stateKey(state.images, state.allowed)}`;
    const known = this.#known.get(key) ?? -1;
    if (known >= state.nested) return;
    this.#known.set(key, state.nested);
    const wanted = this.#options.path?.[state.path.length];
    if (known < 0 && wanted === undefined) {
      const checked = await checkLife(this.#lifeOptions(state, undefined));
      this.#situation.learn(checked);
      this.#report(checked.machine.findings, state.path);
    }
    const repeated = this.#options.path !== undefined;
    if (state.nested === 0 || (repeated && wanted === undefined)) return;
    this.#nestable += 1;
    if (wanted === undefined && !this.#drawNested(key)) return;
    this.#nested += 1;
    await this.#cutLife(state);
  }

  /** By the state itself, so that the choice does not depend on what was explored before. */
  #drawNested(key: string): boolean {
    const share = this.#scenario.nestedShare ?? 1;
    return new Prng(`${this.#options.seed}/nested/${key}`).chance(1, share);
  }

  #lifeOptions(state: State, cutAt: CrashStep['cut'] | undefined): LifeOptions {
    this.#lives += 1;
    const { seed, stackFactory, trace } = this.#options;
    const setup: MachineSetup = { ...this.#scenario.setup, table: state.table };
    return {
      setup,
      images: state.images,
      allowed: state.allowed,
      seed: `${seed}/${this.#scenario.name}/${state.life}`,
      stackFactory,
      ...(cutAt === undefined ? {} : { cutAt }),
      ...(trace === undefined ? {} : { trace }),
    };
  }

  #budget(life: number): FateBudget {
    if (life === 0) return this.#options.fates ?? FATES;
    return this.#options.nestedFates ?? NESTED_FATES;
  }

  #report(findings: readonly Finding[], path: readonly CrashStep[]): void {
    const { path: wanted } = this.#options;
    if (wanted !== undefined && formatCrashPath(wanted) !== formatCrashPath(path)) return;
    for (const finding of findings) {
      const loss = (this.#scenario.expectedLosses ?? []).find((expected) =>
        expected.covers(finding, this.#situation),
      );
      if (loss === undefined) this.#failures.push({ finding, path });
      else this.#losses.set(loss.name, this.#losses.get(loss.name)! + 1);
    }
  }

  /** A loss that was announced and never seen is a story that no longer tells what it says. */
  #judgeExpectedLosses(): void {
    for (const [name, count] of this.#losses) {
      if (count > 0) continue;
      const message = `the expected loss "${name}" never showed up`;
      this.#failures.push({ finding: { checker: 'results-expected', message }, path: [] });
    }
  }
}

/** A machine that is off, about to live. */
interface State {
  /** 0: the scenario's own life. */
  readonly life: number;
  readonly table: MirrorTable;
  readonly images: MachineImages;
  readonly allowed: readonly AllowedContents[];
  readonly path: readonly CrashStep[];
  /** How many more times this line of lives is cut. */
  readonly nested: number;
}
