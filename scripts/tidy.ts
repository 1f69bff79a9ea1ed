/** Checks the rules of style that neither the compiler nor the formatter sees. */

import { formatProblem, readSourceTree } from './lib/source-tree.ts';
import { checkTidiness } from './lib/tidiness.ts';
import { EXCEPTIONS } from './lib/tidy-rules.ts';

const files = readSourceTree('.', ['src', 'test', 'scripts']);
const problems = checkTidiness(files, EXCEPTIONS);
for (const problem of problems) console.error(formatProblem(problem));
console.log(`tidy: ${files.length} files, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
