/** Reads a CPU profile of V8 (`node --cpu-prof`): where the time went, without what was idle. */

export interface CpuProfile {
  /** Microseconds of the monotonic clock. */
  readonly startTime: number;
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  /** Ids of nodes, and the microseconds before each. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface Share {
  readonly name: string;
  /** Of the busy time, 0 to 1. */
  readonly share: number;
}

export interface ProfileSummary {
  /** Of the time that was looked at. */
  readonly busyShare: number;
  /** Largest first; together they are 1. */
  readonly byFunction: readonly Share[];
  readonly byPlace: readonly Share[];
}

/** `skipMicroseconds` at the beginning, in which the program started, are left out. */
export function summarizeProfile(profile: CpuProfile, skipMicroseconds: number): ProfileSummary {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const functions = new Map<string, number>();
  const places = new Map<string, number>();
  let [clock, seen, busy] = [0, 0, 0];
  profile.samples.forEach((id, index) => {
    const delta = Math.max(0, profile.timeDeltas[index]!);
    clock += delta;
    if (clock < skipMicroseconds) return;
    seen += delta;
    const { functionName, url } = frames.get(id)!;
    if (functionName === '(idle)') return;
    busy += delta;
    const place = placeOf(functionName, url);
    const file = url.split('/').at(-1)!.replace(/\.js$/, '');
    const name = `${functionName || '(anonymous)'}${file === '' ? '' : ` (${file})`}`;
    functions.set(name, (functions.get(name) ?? 0) + delta);
    places.set(place, (places.get(place) ?? 0) + delta);
  });
  const shares = (times: ReadonlyMap<string, number>): Share[] =>
    [...times]
      .map(([name, time]) => ({ name, share: time / busy }))
      .sort((a, b) => b.share - a.share);
  return { busyShare: busy / seen, byFunction: shares(functions), byPlace: shares(places) };
}

/** The floor of the house; or what of Node.js, or of the kernel below it. */
function placeOf(functionName: string, url: string): string {
  const floor = /\/(?:dist|src)\/(\w+)\//.exec(url)?.[1];
  if (floor !== undefined) return floor;
  if (functionName === '(garbage collector)') return 'garbage collector';
  if (url.startsWith('node:')) return 'node, JavaScript';
  if (url.includes('/node_modules/')) return 'packages';
  return 'system calls, and native code';
}
