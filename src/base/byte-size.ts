/** Sizes as people write them: bytes, or with a suffix K, M, G or T (powers of 1024). */

const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
};

/**
 * "512K", "1.5G", "2GiB" or "4096" in bytes; null for anything else, and for what is no whole byte.
 */
export function parseByteSize(text: string): number | null {
  const match = /^([0-9]{1,16}(?:\.[0-9]{1,6})?)(?:([KMGT])(?:iB|B)?)?$/i.exec(text);
  if (match === null) return null;
  const bytes = Number(match[1]) * FACTORS[(match[2] ?? '').toUpperCase()]!;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/**
 * The shortest exact form with a suffix up to one decimal place, else rounded: "1 GiB", "1.5 MiB".
 */
export function formatByteSize(bytes: number): string {
  for (const [suffix, factor] of Object.entries(FACTORS).reverse()) {
    if (bytes < factor || suffix === '') continue;
    return `${Math.round((bytes / factor) * 10) / 10} ${suffix}iB`;
  }
  return bytes === 1 ? '1 byte' : `${bytes} bytes`;
}
