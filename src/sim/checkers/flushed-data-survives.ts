/** What was acknowledged under FUA, or before an acknowledged flush, is read after a power cut. */

import type { Finding } from '../findings.ts';
import type { SectorContents } from '../machine/sector-payload.ts';
import { type AllowedContents, describeAllowed, describeContents, isAllowed } from '../oracle.ts';

/** `contents` from sector 0 on; null where a read failed. */
export function checkFlushedDataSurvives(
  contents: readonly (SectorContents | null)[],
  allowed: readonly AllowedContents[],
): Finding[] {
  const findings: Finding[] = [];
  for (const [sector, observed] of contents.entries()) {
    const mayBe = allowed[sector]!;
    if (observed === null || isAllowed(observed, mayBe)) continue;
    const what = `sector ${sector} reads as ${describeContents(observed)} after a power cut`;
    findings.push({
      checker: 'flushed-data-survives',
      message: `${what}, must be ${describeAllowed(mayBe)}`,
      sector,
      observed,
    });
  }
  return findings;
}
