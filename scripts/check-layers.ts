/** Enforces the layer table over the imports of `src`, and prints each offending edge. */

import { checkLayers } from './lib/layers.ts';
import { formatProblem, readSourceTree } from './lib/source-tree.ts';

const files = readSourceTree('.', ['src']);
const problems = checkLayers(files);
for (const problem of problems) console.error(formatProblem(problem));
console.log(`layers: ${files.length} files, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
