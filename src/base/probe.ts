/**
 * Named points on the way of a write, a recovery, a failure and an activation, at which a test may
 * cut the power (`docs/internals/crash-points.md`). In a real run nobody listens.
 *
 * A crash point is written `POINT[.leg][#occurrence][@region]`, for example `W7.1#3@12`.
 */

export const POINTS = {
  W0: 'write accepted',
  W1: 'region referenced',
  W2: 'mark set in memory',
  W3: 'log write submitted',
  W4: 'log write completed',
  W5: 'log flushed, the mark is durable',
  W6: 'write submitted to a leg',
  W7: 'write completed by a leg',
  W8: 'write durable on a leg',
  W9: 'write acknowledged',
  W10: 'region reference dropped',
  W11: 'region cleared in memory',
  W12: 'clear durable',
  R0: 'region chosen for recovery',
  R1: 'recovery source read',
  R2: 'recovery copy written to a leg',
  R3: 'all recovery copies done',
  R4: 'region set in sync in memory',
  R5: 'in-sync bit durable',
  F0: 'leg error seen',
  F1: 'event raised',
  F2: 'write held',
  F3: 'log failure noted',
  F4: 'default leg switched',
  F5: 'table reloaded',
  F6: 'held writes released',
  A0: 'log header read',
  A1: 'log bits read',
  A2: 'log bits merged',
  A3: 'new log sets written',
  A4: 'resumed',
} as const;

export type PointName = keyof typeof POINTS;

export interface Probe {
  /** `leg` and `region` are -1 where the point has none. Must not throw. */
  reached(point: PointName, leg: number, region: number): void;
}

export const silentProbe: Probe = { reached() {} };
