/** Faults put in on purpose: the sweep that finds nothing in the log as it is must find these. */

import t from 'tap';
import type { Region } from '../../src/base/units.ts';
import type { LogImplementation, ServedLog } from '../../src/cluster/served-log.ts';
import { MISHAPS, playStory } from '../support/cluster/cluster-sweep.ts';

type Alteration = (log: ServedLog) => Partial<ServedLog>;

/** The same log, but for some of its operations. */
function altering(
  alteration: Alteration,
): (implementation: LogImplementation) => LogImplementation {
  return ({ name, create }) => ({
    name,
    create: async (creation) => {
      const log = await create(creation);
      const altered = alteration(log);
      return new Proxy(log, {
        get: (target, key) => {
          const found = Reflect.get(key in altered ? altered : target, key);
          return typeof found === 'function'
            ? found.bind(key in altered ? altered : target)
            : found;
        },
      });
    },
  });
}

const BUGS: Readonly<Record<string, Alteration>> = {
  'a flush is answered before the marks are stored': (log) => ({
    flush: () => {
      void log.flush();
      return 0;
    },
  }),
  'marks are forgotten': () => ({ markRegion: () => undefined }),
  'a region is cleared although it is written to': (log) => ({
    markRegion: (region: Region) => {
      log.markRegion(region);
      log.clearRegion(region);
    },
  }),
  'a mirror is told that all is in sync': (log) => ({
    getSyncCount: () => log.regionCount,
    inSync: () => true,
    isRemoteRecovering: () => ({ recovering: false, inSyncHint: log.regionCount }),
    markRegion: () => undefined,
  }),
};

for (const [name, alteration] of Object.entries(BUGS)) {
  t.test(name, async (t) => {
    const found: string[] = [];
    for (const mishap of MISHAPS) {
      for (let at = 1; at < 400 && found.length === 0; at += 60) {
        const options = { seed: `bug/${at}`, implementation: 'clustered-core' as const };
        const alter = altering(alteration);
        const run = await playStory({ ...options, nosync: at % 120 === 1, alter }, mishap, at);
        found.push(...run.violations);
      }
    }
    t.not(found.length, 0, 'it is found');
  });
}
