/** When every region is in sync and nothing is in flight, the legs hold the same. */

import { SECTOR_SIZE } from '../../base/units.ts';
import type { Finding } from '../findings.ts';
import { equalBytes } from '../machine/device-state.ts';
import type { MachineImages, MirrorTable } from '../machine/machine-setup.ts';
import { identifySector } from '../machine/sector-payload.ts';
import { type AllowedContents, describeContents } from '../oracle.ts';

export function checkLegsEqual(
  images: MachineImages,
  table: MirrorTable,
  allowed: readonly AllowedContents[],
): Finding[] {
  const findings: Finding[] = [];
  const [first, ...others] = table.legs;
  for (let sector = 0; sector < table.sectors; sector++) {
    if (allowed[sector]?.anything) continue;
    const from = sector * SECTOR_SIZE;
    const expected = images.legs[first!]!.subarray(from, from + SECTOR_SIZE);
    for (const leg of others) {
      const found = images.legs[leg]!.subarray(from, from + SECTOR_SIZE);
      if (equalBytes(expected, found)) continue;
      const observed = identifySector(found, sector);
      const holds = `sector ${sector} holds ${describeContents(identifySector(expected, sector))}`;
      findings.push({
        checker: 'legs-equal',
        message: `${holds} on leg ${first}, but ${describeContents(observed)} on leg ${leg}`,
        sector,
        leg,
        observed,
      });
    }
  }
  return findings;
}
