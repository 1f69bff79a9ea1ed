/**
 * The rules of style that no compiler and no formatter sees. Judges one file at a time, then the
 * tree as a whole; the exceptions are applied last, so that a needless one can be told.
 */

import { findFunctions } from './functions.ts';
import type { Problem, SourceFile } from './source-tree.ts';
import {
  BANNED_CALLS,
  ENTRY_POINTS,
  type Exception,
  FILE_LINES_MAX,
  FUNCTION_LINES_MAX,
  LINE_COLUMNS_MAX,
  RESTRICTED_MODULES,
} from './tidy-rules.ts';

export function checkTidiness(
  files: readonly SourceFile[],
  exceptions: readonly Exception[],
): Problem[] {
  const problems = [...files.flatMap(checkFile), ...findOrphans(files)];
  const needless = exceptions
    .filter((exception) => !problems.some((problem) => covers(exception, problem)))
    .map(({ path, rule }) => ({
      path,
      line: 0,
      rule: 'exceptions',
      message: `has a needless exception from "${rule}" in scripts/lib/tidy-rules.ts`,
    }));
  return [
    ...problems.filter((problem) => !exceptions.some((exception) => covers(exception, problem))),
    ...needless,
  ];
}

function covers(exception: Exception, problem: Problem): boolean {
  return exception.path === problem.path && exception.rule === problem.rule;
}

function checkFile(file: SourceFile): Problem[] {
  const rules = [checkName, checkLines, checkOpening, checkFunctions, checkNotes, checkExports];
  const worldly = file.path.startsWith('src/') ? [checkBannedCalls, checkModules] : [];
  return [...rules, ...worldly].flatMap((rule) => rule(file));
}

function checkName(file: SourceFile): Problem[] {
  const name = file.path.slice(file.path.lastIndexOf('/') + 1);
  if (/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(name)) return [];
  return [problem(file, 0, 'file-name', 'file names are kebab-case')];
}

function checkLines(file: SourceFile): Problem[] {
  const lines = file.text.replace(/\n$/, '').split('\n');
  const problems = lines.flatMap((line, index) =>
    line.length > LINE_COLUMNS_MAX
      ? [problem(file, index + 1, 'line-length', `${line.length} columns, must be 100 at most`)]
      : [],
  );
  if (lines.length > FILE_LINES_MAX) {
    const message = `${lines.length} lines, must be about 400 at most: find the second idea in it`;
    problems.push(problem(file, 0, 'file-length', message));
  }
  return problems;
}

function checkOpening(file: SourceFile): Problem[] {
  const first = file.tokens.find((token) => !token.text.startsWith('#!'));
  if (file.path.endsWith('.test.ts') || first?.text.startsWith('/**')) return [];
  return [problem(file, 1, 'opening', 'a file opens with a doc comment: its one responsibility')];
}

function checkFunctions(file: SourceFile): Problem[] {
  return findFunctions(file.tokens).flatMap(({ name, line, lines }) => {
    if (lines <= FUNCTION_LINES_MAX) return [];
    const message = `function ${name} has ${lines} lines, must have about 70 at most`;
    return [problem(file, line, 'function-length', message)];
  });
}

function checkNotes(file: SourceFile): Problem[] {
  return file.tokens.flatMap((token) => {
    const note = token.kind === 'comment' ? /\b(FIXME|TODO|XXX|HACK)\b/.exec(token.text) : null;
    if (note === null) return [];
    return [problem(file, token.line, 'notes', `${note[0]}: do it now, or file it`)];
  });
}

function checkExports(file: SourceFile): Problem[] {
  const code = file.tokens.filter((token) => token.kind !== 'comment');
  return code.flatMap((token, index) => {
    if (token.text !== 'export') return [];
    const next = code[index + 1]?.text;
    if (next === 'default') {
      return [problem(file, token.line, 'exports', 'default export: export it by its name')];
    }
    if (next === '*') {
      return [problem(file, token.line, 'exports', 'barrel: import from the file that has it')];
    }
    return [];
  });
}

function checkBannedCalls(file: SourceFile): Problem[] {
  const problems: Problem[] = [];
  for (const [index, line] of codeLines(file).entries()) {
    for (const { pattern, name, instead, allowedIn } of BANNED_CALLS) {
      if (!pattern.test(line) || isAllowed(file.path, allowedIn)) continue;
      problems.push(problem(file, index + 1, 'banned', `${name}: use ${instead}`));
    }
  }
  return problems;
}

function checkModules(file: SourceFile): Problem[] {
  return file.imports.flatMap(({ specifier, line }) => {
    const restricted = RESTRICTED_MODULES.find(({ name }) => name.test(specifier));
    if (restricted === undefined || isAllowed(file.path, restricted.allowedIn)) return [];
    return [problem(file, line, 'banned', `module ${specifier}: use ${restricted.instead}`)];
  });
}

/**
 * A file that no other file imports is dead, unless it is a program or a test. Code of `src` that
 * only tests import is dead too.
 */
function findOrphans(files: readonly SourceFile[]): Problem[] {
  const importers = new Map<string, string[]>();
  for (const file of files) {
    for (const { path } of file.imports) {
      if (path !== null && path !== file.path) {
        importers.set(path, [...(importers.get(path) ?? []), file.path]);
      }
    }
  }
  return files.flatMap((file) => {
    if (isProgram(file.path)) return [];
    const users = importers.get(file.path) ?? [];
    if (users.length === 0) return [problem(file, 0, 'orphan', 'no file imports it')];
    const onlyTests = users.every((user) => user.startsWith('test/'));
    if (!file.path.startsWith('src/') || !onlyTests) return [];
    return [problem(file, 0, 'orphan', 'only tests import it')];
  });
}

function isProgram(path: string): boolean {
  if (path.endsWith('.test.ts')) return true;
  return ENTRY_POINTS.includes(path) || /^scripts\/[^/]+$/.test(path);
}

function isAllowed(path: string, places: readonly string[]): boolean {
  return places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place));
}

/** The file's lines with comments, strings and regular expressions blanked out. */
function codeLines(file: SourceFile): string[] {
  let code = '';
  for (const token of file.tokens) {
    code += blank(file.text.slice(code.length, token.offset));
    code += token.kind === 'word' || token.kind === 'mark' ? token.text : blank(token.text);
  }
  return code.split('\n');
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, ' ');
}

function problem(file: SourceFile, line: number, rule: string, message: string): Problem {
  return { path: file.path, line, rule, message };
}
