/**
 * A short name for a state of a machine that is off: equal states need to be explored only once.
 */

import type { MachineImages } from './machine/machine-setup.ts';
import type { AllowedContents } from './oracle.ts';

/** Two independent 32-bit hashes of every byte, and the expectations in full. */
export function stateKey(images: MachineImages, allowed: readonly AllowedContents[]): string {
  let first = 0x811c9dc5;
  let second = 0x1b873593;
  for (const image of [...images.legs, images.log]) {
    const words = new Uint32Array(image.buffer, image.byteOffset, image.length / 4);
    for (let index = 0; index < words.length; index++) {
      const word = words[index]!;
      first = Math.imul(first ^ word, 0x01000193);
      first ^= first >>> 15;
      second = Math.imul(second ^ word, 0x85ebca6b);
      second ^= second >>> 13;
    }
  }
  const expectations = allowed.map(({ ids, anything }) => `${ids.join(',')}${anything ? '*' : ''}`);
  return `${(first >>> 0).toString(16)}${(second >>> 0).toString(16)}/${expectations.join(';')}`;
}
