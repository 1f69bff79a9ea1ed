/**
 * The kinds of lives that a sweep runs: the scenario's own, a restart that is checked, one that is
 * cut.
 */

import type { CrashPoint } from '../fault/failpoint.ts';
import { AcknowledgedDurable } from './checkers/acknowledged-durable.ts';
import { checkCleanAfterStop } from './checkers/clean-after-stop.ts';
import { checkFlushedDataSurvives } from './checkers/flushed-data-survives.ts';
import { checkLegsEqual } from './checkers/legs-equal.ts';
import { checkLogValid } from './checkers/log-valid.ts';
import { checkReadsStable } from './checkers/reads-stable.ts';
import { ResyncExact } from './checkers/resync-exact.ts';
import { StaleLegNotRead } from './checkers/stale-leg-not-read.ts';
import { checkStatusAtStart, checkStatusInSync } from './checkers/status-agrees.ts';
import type { Finding } from './findings.ts';
import { type LifeEnd, live } from './life.ts';
import type { MachineImages, MachineSetup } from './machine/machine-setup.ts';
import type { SectorContents } from './machine/sector-payload.ts';
import { type MachineListener, SimMachine } from './machine/sim-machine.ts';
import type { StackFactory } from './machine/sim-stack.ts';
import { type AllowedContents, Oracle } from './oracle.ts';
import { Play } from './play.ts';
import { RegionTracker } from './region-tracker.ts';
import { type AcknowledgementListener, type ReadOutcome, SimClient } from './sim-client.ts';

export interface LifeOptions {
  readonly setup: MachineSetup;
  readonly images: MachineImages;
  /** What the sectors may hold when the machine is switched on. */
  readonly allowed: readonly AllowedContents[];
  readonly seed: string;
  readonly stackFactory: StackFactory;
  readonly cutAt?: number | CrashPoint;
  readonly trace?: (line: string) => void;
}

export interface Life {
  readonly machine: SimMachine;
  readonly oracle: Oracle;
  readonly client: SimClient;
  readonly end: LifeEnd;
}

/** The first life: the scenario's script. */
export async function playLife(
  options: LifeOptions,
  script: (play: Play) => Promise<void>,
): Promise<Life> {
  const regions = new RegionTracker(options.images.log, options.setup.table);
  const cast = castFor(
    options,
    [regions, new StaleLegNotRead(regions)],
    new AcknowledgedDurable(regions),
  );
  return perform(cast, async () => {
    await cast.machine.start();
    await script(cast.play);
  });
}

/** A start after a power cut, and the recovery, with nobody there: what is cut again. */
export function recoverLife(options: LifeOptions): Promise<Life> {
  const cast = castFor(options, []);
  return perform(cast, async () => {
    await cast.machine.start();
    await cast.play.inSync();
    await cast.play.idle();
  });
}

/**
 * A start after a power cut that is looked at from all sides: before, during and after the
 * recovery, and after an orderly stop.
 */
export async function checkLife(options: LifeOptions): Promise<Life> {
  const regions = new RegionTracker(options.images.log, options.setup.table);
  const resync = new ResyncExact();
  const cast = castFor(options, [regions, new StaleLegNotRead(regions), resync]);
  const { machine, play } = cast;
  const add = (findings: readonly Finding[]): void => {
    for (const finding of findings) machine.find(finding);
  };
  return perform(cast, async () => {
    await machine.start();
    add(await checkStatusAtStart(machine));
    const early = contentsOf(await play.readAll({ judged: false }));
    add(checkFlushedDataSurvives(early, options.allowed));
    await play.inSync();
    await play.idle();
    add(resync.check(machine));
    const late = contentsOf(await play.readAll({ judged: false }));
    add(checkReadsStable(early, late));
    await checkAtRest(machine, play, options.allowed);
  });
}

/** For a healthy machine with nothing in flight: in sync by all accounts, then stopped in order. */
export async function checkAtRest(
  machine: SimMachine,
  play: Play,
  allowed: readonly AllowedContents[],
): Promise<void> {
  const add = (findings: readonly Finding[]): void => {
    for (const finding of findings) machine.find(finding);
  };
  await play.idle();
  add(await checkStatusInSync(machine));
  add(checkLegsEqual(machine.visibleImages(), machine.table, allowed));
  add(checkLogValid(machine.visibleImages(), machine.table));
  await machine.stack.stop();
  add(checkCleanAfterStop(machine.visibleImages(), machine.table));
}

/** Sector by sector; null where the read failed. */
function contentsOf(outcomes: readonly ReadOutcome[]): (SectorContents | null)[] {
  return outcomes.flatMap((outcome) => [...outcome.contents]);
}

interface Cast {
  readonly machine: SimMachine;
  readonly oracle: Oracle;
  readonly client: SimClient;
  readonly play: Play;
}

function castFor(
  options: LifeOptions,
  listeners: readonly MachineListener[],
  acknowledgements?: AcknowledgementListener,
): Cast {
  const { allowed, ...rest } = options;
  const machine = new SimMachine({ ...rest, listeners });
  const oracle = new Oracle(options.setup.legSectors, allowed);
  const client = new SimClient(machine, oracle, acknowledgements);
  return { machine, oracle, client, play: new Play(machine, client, `${options.seed}/play`) };
}

async function perform(cast: Cast, script: () => Promise<void>): Promise<Life> {
  const { machine, oracle, client } = cast;
  const end = await live(machine, script);
  return { machine, oracle, client, end };
}
