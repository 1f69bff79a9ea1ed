/**
 * The floors of the house and who may import whom; ARCHITECTURE.md draws the same table.
 *
 * A folder of `src` imports itself and the folders named here. Inside a folder there are no cycles,
 * and its rooms, the folders in it, import only those of their neighbours that are named here.
 * Nothing in `src` imports anything outside it but packages and `node:` modules, and `base` not
 * even those.
 */

import type { Problem, SourceFile } from './source-tree.ts';

export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  block: ['base'],
  fault: ['base', 'block'],
  nbd: ['base', 'block'],
  dm: ['base', 'block'],
  dirtylog: ['base', 'block', 'dm'],
  mirror: ['base', 'block', 'dm', 'dirtylog'],
  cluster: ['base', 'block', 'dirtylog'],
  inspect: ['base', 'block', 'dirtylog'],
  control: ['base', 'block', 'dm', 'fault'],
  sim: ['base', 'block', 'fault', 'dm', 'dirtylog', 'mirror', 'cluster', 'nbd', 'control'],
  daemon: ['base', 'block', 'fault', 'dm', 'dirtylog', 'mirror', 'cluster', 'nbd', 'control'],
  cli: ['base', 'control', 'daemon', 'inspect', 'sim'],
};

/** Rooms that import neighbours, and which. */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  'nbd/server': ['nbd/codec'],
  'nbd/client': ['nbd/codec'],
  'daemon/plan': ['daemon/devices', 'daemon/logd', 'daemon/repair', 'daemon/tls'],
  'daemon/repair': ['daemon/devices'],
  'daemon/logd': ['daemon/devices', 'daemon/tls'],
  'daemon/devices': ['daemon/tls'],
  'sim/scenarios': ['sim/machine'],
  'sim/checkers': ['sim/machine'],
};

export function checkLayers(files: readonly SourceFile[]): Problem[] {
  const sources = files.filter((file) => file.path.startsWith('src/'));
  return [...sources.flatMap(checkEdges), ...findCycles(sources)];
}

function checkEdges(file: SourceFile): Problem[] {
  const folder = folderOf(file.path);
  const allowed = folder === null ? undefined : LAYERS[folder];
  if (folder === null || allowed === undefined) {
    return [problem(file.path, 0, `is in no folder of the layer table (${layerNames()})`)];
  }
  return file.imports.flatMap(({ specifier, path, line }) => {
    if (path === null) {
      return folder === 'base' ? [problem(file.path, line, `base imports "${specifier}"`)] : [];
    }
    if (!path.startsWith('src/')) {
      return [problem(file.path, line, `src imports ${path}, which is outside of it`)];
    }
    const target = folderOf(path);
    if (target === folder) return checkRooms(file.path, path, line);
    if (target !== null && allowed.includes(target)) return [];
    const may = allowed.length === 0 ? 'nothing' : allowed.join(', ');
    return [problem(file.path, line, `${folder} imports ${path}; ${folder} may import ${may}`)];
  });
}

function checkRooms(importer: string, imported: string, line: number): Problem[] {
  const [room, target] = [roomOf(importer), roomOf(imported)];
  if (room === null || target === null || room === target) return [];
  const allowed = ROOMS[room] ?? [];
  if (allowed.includes(target)) return [];
  const may = allowed.length === 0 ? 'no neighbour' : allowed.join(', ');
  return [problem(importer, line, `${room} imports ${imported}; ${room} may import ${may}`)];
}

/** One problem for each set of files that import each other in a circle, naming one circle. */
function findCycles(files: readonly SourceFile[]): Problem[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const finished = new Set<string>();
  const problems: Problem[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      const circle = [...trail.slice(start), path].join(' -> ');
      problems.push(problem(path, 0, `imports itself in a circle: ${circle}`));
      return;
    }
    if (finished.has(path)) return;
    for (const edge of byPath.get(path)?.imports ?? []) {
      if (edge.path !== null) visit(edge.path, [...trail, path]);
    }
    finished.add(path);
  };
  for (const file of files) visit(file.path, []);
  return problems;
}

/** "base" for "src/base/errno.ts"; null for a file that stands in `src` itself. */
function folderOf(path: string): string | null {
  const parts = path.split('/');
  return parts[0] === 'src' && parts.length > 2 ? parts[1]! : null;
}

/** "nbd/codec" for "src/nbd/codec/frame-reader.ts"; null for a file in the folder itself. */
function roomOf(path: string): string | null {
  const parts = path.split('/');
  return parts.length > 3 ? `${parts[1]}/${parts[2]}` : null;
}

function layerNames(): string {
  return Object.keys(LAYERS).join(', ');
}

function problem(path: string, line: number, message: string): Problem {
  return { path, line, rule: 'layers', message };
}
