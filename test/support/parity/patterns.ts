/**
 * What sectors hold, written and read as guest.c does: a sector of one word has a tag in the word's
 * upper half and its own number in the lower, so a run of sectors is told in a few characters.
 */

import { SECTOR_SIZE } from '../../../src/base/units.ts';

export function fillSectors(to: Uint8Array, tag: number, firstSector: number): void {
  const view = new DataView(to.buffer, to.byteOffset, to.byteLength);
  for (let sector = 0; sector < to.length / SECTOR_SIZE; sector++) {
    const word = ((tag << 16) | ((firstSector + sector) & 0xffff)) >>> 0;
    for (let at = 0; at < SECTOR_SIZE; at += 4)
      view.setUint32(sector * SECTOR_SIZE + at, word, true);
  }
}

/**
 * Runs of sectors whose words count up, or are zero: "8:10000,4:0"; "x" is a sector of other data.
 */
export function describeSectors(data: Uint8Array): string {
  const count = data.length / SECTOR_SIZE;
  const words = Array.from({ length: count }, (_, sector) => wordOf(data, sector));
  const runs: string[] = [];
  for (let sector = 0; sector < count; ) {
    const word = words[sector]!;
    let run = 1;
    if (word === null) {
      runs.push(`1:x${hash(data, sector).toString(16)}`);
    } else {
      while (sector + run < count && words[sector + run] === (word === 0 ? 0 : word + run)) run++;
      runs.push(`${run}:${word.toString(16)}`);
    }
    sector += run;
  }
  return runs.join(',');
}

/** Words of four bytes, with how often each comes in a row: "0*12,7*1". */
export function describeWords(data: Uint8Array): string {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const runs: string[] = [];
  for (let at = 0; at < data.length; ) {
    const word = view.getUint32(at, true);
    let run = 1;
    while (at + run * 4 < data.length && view.getUint32(at + run * 4, true) === word) run++;
    runs.push(`${word.toString(16)}*${run}`);
    at += run * 4;
  }
  return runs.join(',');
}

/** The word that fills the sector; null where it is not one alone. */
function wordOf(data: Uint8Array, sector: number): number | null {
  const view = new DataView(data.buffer, data.byteOffset + sector * SECTOR_SIZE, SECTOR_SIZE);
  const word = view.getUint32(0, true);
  for (let at = 4; at < SECTOR_SIZE; at += 4) {
    if (view.getUint32(at, true) !== word) return null;
  }
  return word;
}

function hash(data: Uint8Array, sector: number): number {
  let value = 2166136261;
  for (let at = sector * SECTOR_SIZE; at < (sector + 1) * SECTOR_SIZE; at++) {
    value = Math.imul(value ^ data[at]!, 16777619) >>> 0;
  }
  return value;
}
