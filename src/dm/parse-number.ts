/** Numbers in table lines: unsigned decimals with nothing before or behind them. */

/**
 * The value of `word`, or null if it is no unsigned decimal of at most `max` (leading zeros are
 * fine).
 */
export function parseUnsigned(word: string | undefined, max: number): number | null {
  if (word === undefined || !/^[0-9]{1,400}$/.test(word)) return null;
  const value = Number(word);
  return value <= max ? value : null;
}

/** Counts in the kernel are unsigned 32-bit. */
export const U32_MAX = 2 ** 32 - 1;

/** The largest position of a sector whose byte offset is still exact. */
export const SECTOR_MAX = Math.floor(Number.MAX_SAFE_INTEGER / 512);
