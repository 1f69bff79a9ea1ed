/** The project's own TypeScript files, read once, with their tokens and imports. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Token, tokenize } from './tokens.ts';

export interface Import {
  /** As written, e.g. "../base/errno.ts" or "node:fs". */
  readonly specifier: string;
  /** The imported file's path from the root, for a relative specifier; else null. */
  readonly path: string | null;
  readonly line: number;
}

export interface SourceFile {
  /** From the root, with slashes, e.g. "src/base/errno.ts". */
  readonly path: string;
  readonly text: string;
  readonly tokens: readonly Token[];
  readonly imports: readonly Import[];
}

/** What a check found. `line` is 0 where the whole file, or the tree, is meant. */
export interface Problem {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

/**
 * Every `.ts` file below the given folders of `root`, by path. Folders that are absent are empty.
 */
export function readSourceTree(root: string, folders: readonly string[]): SourceFile[] {
  return folders
    .flatMap((folder) => listFiles(root, folder))
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => parseSourceFile(path, readFileSync(join(root, path), 'utf8')));
}

export function parseSourceFile(path: string, text: string): SourceFile {
  const tokens = tokenize(text);
  return { path, text, tokens, imports: findImports(path, tokens) };
}

export function formatProblem(problem: Problem): string {
  const place = problem.line === 0 ? problem.path : `${problem.path}:${problem.line}`;
  return `${place}: ${problem.message} [${problem.rule}]`;
}

function listFiles(root: string, folder: string): string[] {
  let entries: import('node:fs').Dirent[];
  try {
    entries = readdirSync(join(root, folder), { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return entries.flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : listFiles(root, path);
    return [path];
  });
}

/** `from '…'`, `import '…'` and `import('…')`: static, for types, re-exported and dynamic ones. */
function findImports(path: string, tokens: readonly Token[]): Import[] {
  const code = tokens.filter((token) => token.kind !== 'comment');
  const imports: Import[] = [];
  for (const [index, token] of code.entries()) {
    if (token.kind !== 'string') continue;
    const before = code[index - 1];
    const twoBefore = code[index - 2];
    const isImport =
      (before?.text === 'from' && twoBefore?.text !== '.') ||
      before?.text === 'import' ||
      (before?.text === '(' && twoBefore?.text === 'import');
    if (!isImport) continue;
    const specifier = token.text.slice(1, -1);
    imports.push({ specifier, path: resolve(path, specifier), line: token.line });
  }
  return imports;
}

function resolve(importer: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  const parts = importer.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}
