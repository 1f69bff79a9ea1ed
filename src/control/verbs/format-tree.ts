/** Devices and what they stand on, drawn as `dmsetup ls --tree` draws them, byte for byte. */

export interface TreeNode {
  readonly text: string;
  readonly children: readonly TreeNode[];
}

export type TreeSymbols = 'ascii' | 'utf' | 'vt100';

export interface TreeShape {
  readonly symbols: TreeSymbols;
  /** A first child goes on in its parent's line. */
  readonly compact: boolean;
}

interface Symbols {
  /** Before a child that has more behind it, and before the last. */
  readonly branch: string;
  readonly last: string;
  /** Below a branch. */
  readonly vertical: string;
  /** Compact: before an only child, and before the first of several. */
  readonly only: string;
  readonly first: string;
}

const SYMBOLS: Readonly<Record<TreeSymbols, Symbols>> = {
  ascii: { branch: '|-', last: '`-', vertical: '| ', only: '---', first: '-+-' },
  utf: { branch: '├─', last: '└─', vertical: '│ ', only: '───', first: '─┬─' },
  // The terminal's line drawing characters, between what chooses and what leaves them.
  vt100: {
    branch: '\x1b(0\x0ftq\x1b(B',
    last: '\x1b(0\x0fmq\x1b(B',
    vertical: '\x1b(0\x0fx\x1b(B ',
    only: '\x1b(0\x0fqqq\x1b(B',
    first: '\x1b(0\x0fqwq\x1b(B',
  },
};

/** What `only` and `first` take of a line. */
const JOINT_WIDTH = 3;
const NOTHING = '  ';

/** One level above the node at hand. */
interface Level {
  /** How far its children are moved to the right. */
  readonly width: number;
  /** It has siblings below. */
  readonly more: boolean;
}

export function formatTree(roots: readonly TreeNode[], shape: TreeShape): string {
  const symbols = SYMBOLS[shape.symbols];
  let out = '';

  const draw = (node: TreeNode, above: readonly Level[], more: boolean, joined: boolean): void => {
    out += node.text;
    // The joint counts too, as in dmsetup, though its children would stand better without it.
    const own = node.text.length + (joined ? JOINT_WIDTH : 0);
    const levels = [...above, { width: shape.compact ? own : 0, more }];
    const { children } = node;
    if (children.length === 0) out += '\n';
    for (const [index, child] of children.entries()) {
      const isLast = index === children.length - 1;
      const joins = shape.compact && index === 0;
      if (joins) out += isLast ? symbols.only : symbols.first;
      else {
        if (index === 0) out += '\n';
        out += indent(levels, symbols) + (isLast ? symbols.last : symbols.branch);
      }
      draw(child, levels, !isLast, joins);
    }
  };

  for (const root of roots) draw(root, [], false, false);
  return out;
}

/** Up to where the symbol of a child stands. */
function indent(levels: readonly Level[], symbols: Symbols): string {
  return levels
    .map(({ width }, index) => {
      const below = levels[index + 1];
      const line = below === undefined ? '' : below.more ? symbols.vertical : NOTHING;
      return ' '.repeat(width + 1) + line;
    })
    .join('');
}
