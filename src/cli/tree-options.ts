/** The words behind `ls --tree -o`. */

import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import { CommandError } from '../control/command-error.ts';
import type { Shell } from './control-session.ts';

/** What each word asks for; null: it is so already. */
const WORDS: Readonly<Record<string, object | null>> = {
  ascii: { symbols: 'ascii' },
  utf: { symbols: 'utf' },
  vt100: { symbols: 'vt100' },
  compact: { compact: true },
  inverted: { inverted: true },
  notrunc: null,
  device: { noDevice: false },
  nodevice: { noDevice: true },
  blkdevname: { blkdevname: true },
  active: { active: true },
  open: { open: true },
  rw: { rw: true },
  uuid: { uuid: true },
};

export const TREE_WORDS = Object.keys(WORDS).join(', ');

/** @throws UserError for a word that is not known. */
export function treeInput({ isTerminal, environment }: Shell, options = ''): object {
  const { LC_ALL, LC_CTYPE, LANG = '' } = environment;
  const isUtf = /utf-?8/i.test(LC_ALL ?? LC_CTYPE ?? LANG);
  let input: object = { symbols: isTerminal && isUtf ? 'utf' : 'ascii' };
  for (const word of options.split(',').filter((one) => one !== '')) {
    if (!Object.hasOwn(WORDS, word)) {
      const shown = word.slice(0, 80);
      throw new CommandError(
        new UserError(
          'bad-option',
          `Cannot draw a tree: option is ${quoted(word)}, must be one of ${TREE_WORDS}`,
        ),
        `Tree options not recognised: ${shown}.`,
      );
    }
    input = { ...input, ...WORDS[word] };
  }
  return input;
}
