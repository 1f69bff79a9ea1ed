/**
 * The losses that the emulated kernel itself makes, by name. Each covers only what it explains: a
 * finding of the right checker, in a place where the cause was seen, without foreign bytes.
 */

import type { ExpectedLoss, Finding, LossSituation } from './findings.ts';

const DIVERGENCE: readonly string[] = ['log-covers-divergence', 'legs-equal'];

/**
 * Something that somebody wrote there once, or that a discard left there, and not the bytes of
 * another place or leg.
 */
function isOlderContents(finding: Finding, situation: LossSituation): boolean {
  if (finding.observed === 'zeroes') return situation.discarded(finding.sector);
  return typeof finding.observed === 'number';
}

export const RACING_WRITES: ExpectedLoss = {
  name: 'racing-writes',
  because: 'two writes to one sector in flight together may reach two legs in two orders',
  covers: (finding, situation) =>
    DIVERGENCE.includes(finding.checker) && situation.raced(finding.sector),
};

export const NOSYNC_WORD: ExpectedLoss = {
  name: 'nosync-word',
  because: 'a table with the word nosync declares all regions in sync at every start (6.4)',
  covers: (finding) => DIVERGENCE.includes(finding.checker),
};

export const LEG_FAILURE_IGNORED: ExpectedLoss = {
  name: 'leg-failure-ignored',
  because:
    'without handle_errors a write or flush that leg 0 missed is reported as successful (3.5)',
  covers: (finding, situation) =>
    finding.checker === 'flushed-data-survives' &&
    isOlderContents(finding, situation) &&
    (situation.struck(0, 'write', finding.sector) || situation.struck(0, 'flush', finding.sector)),
};

export const DEFAULT_LEG_FORGOTTEN: ExpectedLoss = {
  name: 'default-leg-forgotten',
  because: 'with keep_log writes go on without leg 0, and a restart copies from leg 0 again (5.6)',
  covers: (finding, situation) =>
    finding.checker === 'flushed-data-survives' &&
    isOlderContents(finding, situation) &&
    (situation.struck(0, 'write', finding.sector) || situation.struck(0, 'flush', finding.sector)),
};

export const LEG_ERROR_FORGIVEN: ExpectedLoss = {
  name: 'leg-error-forgiven',
  because:
    'coming into sync forgives the error of leg 0 while its request is held; later writes to a ' +
    'region out of sync go to the new default leg alone, which a restart forgets (2.8, 5.5, 5.6)',
  covers: (finding, situation) =>
    finding.checker === 'flushed-data-survives' &&
    isOlderContents(finding, situation) &&
    (situation.struck(0, 'write', finding.sector) ||
      situation.struck(0, 'flush', finding.sector)) &&
    situation.sentAlone(finding.sector, { notTo: 0 }),
};

export const STALE_READ: ExpectedLoss = {
  name: 'stale-read',
  because:
    'after a failed flush regions are out of sync in memory only; when the default leg fails ' +
    'next, the log lets them be read from a leg that missed writes (4.4)',
  covers: (finding, situation) =>
    finding.checker === 'reads-current' &&
    isOlderContents(finding, situation) &&
    situation.struck('any', 'flush', finding.sector) &&
    situation.sentAlone(finding.sector),
};

export const FAILURE_UNMARKED: ExpectedLoss = {
  name: 'failure-unmarked',
  because:
    'once the log has failed, a leg that misses a write does not put its region out of sync; ' +
    'when the write ends, the region is cleared, and the log may work again (3.3)',
  covers: (finding, situation) =>
    DIVERGENCE.includes(finding.checker) &&
    situation.logFailed &&
    situation.struck('any', 'write', finding.sector),
};

export const UNLOGGED_WRITES: ExpectedLoss = {
  name: 'unlogged-writes',
  because: 'without handle_errors writes proceed although the log cannot record them (2.5)',
  covers: (finding, situation) => DIVERGENCE.includes(finding.checker) && situation.logFailed,
};

export const FAILED_COPY_IN_SYNC: ExpectedLoss = {
  name: 'failed-copy-in-sync',
  because: 'without handle_errors a region whose copy failed counts as in sync (5.3)',
  covers: (finding, situation) =>
    DIVERGENCE.includes(finding.checker) && situation.struck(1, 'write', finding.sector),
};

export const ZEROES_COPIED: ExpectedLoss = {
  name: 'zeroes-copied',
  because: 'without handle_errors a region that cannot be read is copied as zeros (5.2)',
  covers: (finding, situation) =>
    DIVERGENCE.includes(finding.checker) && situation.struck(0, 'read', finding.sector),
};

export const SHORT_REGION_GROWN: ExpectedLoss = {
  name: 'short-region-grown',
  because: 'a bit below the stored count is trusted, whatever length its region had then (8.4)',
  covers: (finding) =>
    DIVERGENCE.includes(finding.checker) && finding.sector !== undefined && finding.sector >= 20,
};
