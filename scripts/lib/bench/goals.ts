/** The ratios that the project holds itself to: of ours to a peer, by configuration. */

import type { OurName, PeerName } from './server.ts';

export interface Goal {
  /** A workload's name. */
  readonly work: string;
  readonly against: PeerName;
  readonly wanted: Partial<Readonly<Record<OurName, number>>>;
}

export const GOALS: readonly Goal[] = [
  goal('randwrite-4k-1', 'nbdkit', 1.2, 0.6, 1.1),
  goal('randwrite-4k-16', 'nbdkit', 1.4, 0.8, 1.3),
  goal('randwrite-4k-16', 'quorum', 5, 3, 4.5),
  goal('randwrite-64k-16', 'nbdkit', 0.95, 0.8, 0.95),
  goal('write-1m-4', 'nbdkit', 0.85, 0.8, 0.85),
  goal('write-1m-4', 'quorum', 2.5, 2.3, 2.5),
  goal('randread-4k-1', 'nbdkit', 1.1, 1.1, 1.1),
  goal('randread-4k-16', 'nbdkit', 2, 2, 2),
  goal('read-1m-4', 'nbdkit', 1.2, 1.2, 1.2),
];

/** Those that the first version was built to. */
export const FIRST_GOALS: readonly Goal[] = [
  { work: 'randwrite-4k-16', against: 'quorum', wanted: { core: 3.5 } },
  { work: 'randwrite-4k-16', against: 'nbdkit', wanted: { core: 1 } },
  { work: 'write-1m-4', against: 'quorum', wanted: { core: 2 } },
  { work: 'randread-4k-16', against: 'nbdkit', wanted: { core: 1.5 } },
];

/** Of a resynchronisation to `cp` of as much. */
export const RESYNC_GOAL = 0.8;

function goal(work: string, against: PeerName, core: number, disk: number, delayed: number): Goal {
  return { work, against, wanted: { core, disk, delayed } };
}
