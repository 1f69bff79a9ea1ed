/** A comparison of legs as lines for people, and as an object for programs. */

import type { Difference, LegComparison } from './compare-legs.ts';
import { formatRange, type RegionRange } from './region-ranges.ts';

export interface FormatComparisonOptions {
  /** Ranges printed, all where absent. */
  readonly rangesMax?: number;
}

/** Each line is ended. The last one is the verdict. */
export function formatComparison(
  comparison: LegComparison,
  options: FormatComparisonOptions = {},
): string {
  const { legNames, lengthSectors, regionCount, regionSizeSectors } = comparison;
  const lines = legNames.map((name, leg) => `leg ${leg}    ${name}`);
  lines.push(
    `length   ${lengthSectors} sectors, ${regionCount} regions of ${regionSizeSectors} sectors`,
  );
  if (comparison.logName !== null) {
    lines.push(`log      ${comparison.logName}: ${plural(comparison.dirtyRegions ?? 0)} dirty`);
  }
  lines.push(...comparison.notes.map((note) => `note: ${note}`));
  const shown = comparison.ranges.slice(0, options.rangesMax ?? comparison.ranges.length);
  for (const range of shown) lines.push(`  ${formatDifference(range, comparison)}`);
  const hidden = comparison.ranges.length - shown.length + comparison.unlistedRanges;
  if (hidden > 0) lines.push(`  and ${hidden} more ranges`);
  lines.push(formatVerdict(comparison));
  return `${lines.join('\n')}\n`;
}

/** Everything, and the verdict; what JSON can hold. */
export function comparisonToJson({ ranges, ...rest }: LegComparison): object {
  return { ...rest, ranges: ranges.map(({ first, last, label }) => ({ first, last, ...label })) };
}

function formatDifference(range: RegionRange<Difference>, comparison: LegComparison): string {
  const { differingLegs, unreadableLegs, isCovered } = range.label;
  const { regionSizeSectors, lengthSectors } = comparison;
  const firstSector = range.first * regionSizeSectors;
  const lastSector = Math.min((range.last + 1) * regionSizeSectors, lengthSectors) - 1;
  const what: string[] = [];
  if (differingLegs.length > 0) {
    const verb = differingLegs.length === 1 ? 'differs' : 'differ';
    what.push(`${legs(differingLegs)} ${verb} from leg 0`);
  }
  if (unreadableLegs.length > 0) what.push(`${legs(unreadableLegs)} cannot be read`);
  if (differingLegs.length > 0 && isCovered !== null) {
    what.push(isCovered ? 'dirty in the log' : 'NOT COVERED by the log');
  }
  const noun = range.first === range.last ? 'region ' : 'regions';
  return `${noun} ${formatRange(range)} (sectors ${firstSector}-${lastSector}): ${what.join(', ')}`;
}

function legs(numbers: readonly number[]): string {
  return `${numbers.length === 1 ? 'leg' : 'legs'} ${numbers.join(' and ')}`;
}

function formatVerdict(comparison: LegComparison): string {
  const { differingRegions, uncoveredRegions, unreadableRegions, logName } = comparison;
  const parts: string[] = [];
  if (unreadableRegions > 0) parts.push(`${plural(unreadableRegions)} cannot be read`);
  if (differingRegions > 0)
    parts.push(`${plural(differingRegions)} ${differingRegions === 1 ? 'differs' : 'differ'}`);
  if (differingRegions > 0 && logName !== null) {
    parts.push(
      uncoveredRegions > 0
        ? `${uncoveredRegions} of them not covered by the log: violation`
        : `the log covers ${differingRegions === 1 ? 'it' : 'each of them'}`,
    );
  }
  return parts.length === 0 ? 'legs are equal' : parts.join(', ');
}

function plural(count: number): string {
  return count === 1 ? '1 region' : `${count} regions`;
}
