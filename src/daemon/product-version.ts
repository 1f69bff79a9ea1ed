/** The version in the package's description. */

import { readFileSync } from 'node:fs';

/** Two levels up in the sources as well as in what is built of them. */
export function productVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
