/**
 * What `tidy` enforces, as data: limits, banned calls with their replacement, and the exceptions.
 */

export const LINE_COLUMNS_MAX = 100;
/** The house says "about 400" and "about 70": a little air, so that nobody golfs a line away. */
export const FILE_LINES_MAX = 425;
export const FUNCTION_LINES_MAX = 75;

/** The world is injected: these words stand only in the files whose job they are. */
export interface BannedCall {
  /** Matched against code without comments and strings. */
  readonly pattern: RegExp;
  readonly name: string;
  readonly instead: string;
  /** Paths, or prefixes that end with a slash, where it may stand. */
  readonly allowedIn: readonly string[];
}

const ETCD = ['engine', 'login', 'watch'].map((part) => `src/cluster/etcd-${part}.ts`);
const CLOCK = ['src/daemon/system-clock.ts'];
/** Where a person or a parent process is spoken to. */
const PROCESS_EDGE = ['src/cli/', 'src/daemon/'];

export const BANNED_CALLS: readonly BannedCall[] = [
  ...['Date.now', 'performance.now', 'process.hrtime'].map((name) => ({
    pattern: callPattern(name),
    name,
    instead: 'clock.now() of the injected Clock',
    // gRPC takes deadlines by the time of day only.
    allowedIn: name === 'Date.now' ? [...CLOCK, 'src/cluster/etcd-engine.ts'] : CLOCK,
  })),
  { pattern: /\bnew Date\b/, name: 'new Date', instead: 'clock.now()', allowedIn: CLOCK },
  ...['setTimeout', 'setInterval'].map((name) => ({
    pattern: callPattern(name),
    name,
    instead: 'clock.after() of the injected Clock',
    allowedIn: CLOCK,
  })),
  ...['setImmediate', 'queueMicrotask', 'process.nextTick'].map((name) => ({
    pattern: callPattern(name),
    name,
    instead: 'clock.defer() of the injected Clock',
    allowedIn: [...CLOCK, 'src/sim/machine/virtual-clock.ts'],
  })),
  {
    pattern: /\bMath\.random\b|\brandom(?:UUID|Bytes|Int)\b/,
    name: 'Math.random',
    instead: 'a Prng from base/prng.ts',
    // A secret must not follow from a seed.
    allowedIn: ['src/daemon/control-token.ts'],
  },
  {
    pattern: callPattern('process.exit'),
    name: 'process.exit',
    instead: 'a return value, or process.exitCode in the command line',
    allowedIn: PROCESS_EDGE,
  },
  {
    pattern: /\bconsole\s*\./,
    name: 'console',
    instead: 'the injected Logger, or the output stream of the command line',
    allowedIn: [],
  },
];

/** Modules of the outside world, and the packages: each is imported where it is wrapped. */
export interface RestrictedModule {
  readonly name: RegExp;
  readonly instead: string;
  readonly allowedIn: readonly string[];
}

export const RESTRICTED_MODULES: readonly RestrictedModule[] = [
  {
    name: /^(node:)?fs(\/promises)?$/,
    instead: 'a BlockDevice, or block/file/file-device.ts',
    // listener.ts probes and unlinks the sockets that it makes.
    allowedIn: [
      'src/block/',
      'src/daemon/',
      'src/cli/',
      'src/nbd/bind-socket.ts',
      'src/nbd/server/listener.ts',
    ],
  },
  {
    name: /^(node:)?(net|tls|http|https|dgram)$/,
    instead: 'nbd/server/server.ts',
    allowedIn: ['src/nbd/', 'src/daemon/', 'src/control/'],
  },
  { name: /^(node:)?timers(\/promises)?$/, instead: 'the injected Clock', allowedIn: CLOCK },
  { name: /^(node:)?child_process$/, instead: 'daemon', allowedIn: ['src/daemon/'] },
  { name: /^(koffi|fs-ext)$/, instead: 'the wrapper in block', allowedIn: ['src/block/'] },
  { name: /^pino$/, instead: 'the injected Logger', allowedIn: ['src/daemon/'] },
  { name: /^(hono|@hono\/node-server)\b/, instead: 'control', allowedIn: ['src/control/'] },
  { name: /^commander$/, instead: 'cli', allowedIn: ['src/cli/'] },
  { name: /^(etcd3|cockatiel)$/, instead: 'an Engine', allowedIn: ETCD },
];

/** Files that nobody imports, and that are not tests: programs. Those in `scripts` are, too. */
export const ENTRY_POINTS: readonly string[] = [
  'src/cli/main.ts',
  'scripts/lib/bench/hostile-clients.ts',
  'test/support/nbd-activated.ts',
];

export interface Exception {
  readonly path: string;
  /** The rule, as printed in brackets behind a problem. */
  readonly rule: string;
  readonly reason: string;
}

/** Each with its reason; one that is not needed any more is a problem itself. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    path: 'src/nbd/client/nbd-client.ts',
    rule: 'orphan',
    reason: 'the parts of the client with every option and command, for tests of servers',
  },
  {
    path: 'src/sim/machine/log-server-stack.ts',
    rule: 'orphan',
    reason: 'mirrors with a log server, under the crash sweep in tests',
  },
];

function callPattern(name: string): RegExp {
  return new RegExp(`(?<![.\\w$#])${name.replaceAll('.', '\\s*\\.\\s*')}\\b(?!\\s*\\??:)`);
}
