/** Two reads without a write between them agree, whichever leg serves them. */

import type { Finding } from '../findings.ts';
import type { SectorContents } from '../machine/sector-payload.ts';
import { describeContents } from '../oracle.ts';

export function checkReadsStable(
  first: readonly (SectorContents | null)[],
  second: readonly (SectorContents | null)[],
): Finding[] {
  const findings: Finding[] = [];
  for (const [sector, before] of first.entries()) {
    const after = second[sector];
    if (before === null || after === null || after === undefined || before === after) continue;
    const what = `sector ${sector} reads as ${describeContents(before)}`;
    findings.push({
      checker: 'reads-stable',
      message: `${what} and then, with no write between, as ${describeContents(after)}`,
      sector,
      observed: after,
    });
  }
  return findings;
}
