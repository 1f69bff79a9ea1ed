/**
 * Comments that say what was done, where the recorder shows no command: they are done as they say.
 */

import { SECTOR_SIZE } from '../../../src/base/units.ts';
import { NotUnderstood } from './outcome.ts';

export type CommentAction =
  /** This is now at the start of the log's device. */
  | { readonly kind: 'log-bytes'; readonly bytes: Uint8Array }
  /** What the block layer shows of the mirror and of its first leg. */
  | {
      readonly kind: 'property';
      readonly key: string;
      readonly mirror: string;
      readonly leg: string;
    }
  | { readonly kind: 'none' };

/** Words that tell of something done; such a comment must be one that is known. */
const TELLS_OF_ACTION =
  /^(a header|the log is filled|the power|power cut|wait\b)|was (written|filled|erased|cut)/;

export function actionOfComment(text: string, logSectors: number): CommentAction {
  const filled = /^the log is filled with (zeros|bytes ([0-9a-f]{2}))$/.exec(text);
  if (filled !== null) {
    const byte = filled[2] === undefined ? 0 : Number.parseInt(filled[2], 16);
    return { kind: 'log-bytes', bytes: new Uint8Array(logSectors * SECTOR_SIZE).fill(byte) };
  }
  const header = /^a header with version (\d+) and (\d+) regions, and a bitset of ones$/.exec(text);
  if (header !== null) {
    return { kind: 'log-bytes', bytes: logImage(Number(header[1]), Number(header[2])) };
  }
  const property = /^(\w+) of the mirror: (.*); of its first leg: (.*)$/.exec(text);
  if (property !== null) {
    return { kind: 'property', key: property[1]!, mirror: property[2]!, leg: property[3]! };
  }
  if (TELLS_OF_ACTION.test(text)) throw new NotUnderstood(`the comment "${text}"`);
  return { kind: 'none' };
}

function logImage(version: number, regionCount: number): Uint8Array {
  const image = new Uint8Array(3 * SECTOR_SIZE);
  const view = new DataView(image.buffer);
  image.set([0x72, 0x52, 0x69, 0x4d]);
  view.setUint32(4, version, true);
  view.setUint32(8, regionCount, true);
  image.fill(0xff, 2 * SECTOR_SIZE);
  return image;
}
