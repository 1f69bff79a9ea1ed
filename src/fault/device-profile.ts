/** What a disk promises about its cache, and whether it keeps the promise. */

export interface DeviceProfile {
  readonly name: string;
  /** False: a write that has ended is on the medium. */
  readonly cached: boolean;
  readonly honoursFlush: boolean;
  readonly honoursFua: boolean;
  /** A torn write is torn between groups of this many sectors, aligned on the device. */
  readonly atomicSectors: number;
}

const honest: DeviceProfile = {
  name: 'volatile-cache',
  cached: true,
  honoursFlush: true,
  honoursFua: true,
  atomicSectors: 1,
};

export const DEVICE_PROFILES = {
  /** The honest disk: flush and FUA mean what they say. */
  'volatile-cache': honest,
  'no-cache': { ...honest, name: 'no-cache', cached: false },
  'ignores-flush': { ...honest, name: 'ignores-flush', honoursFlush: false },
  'ignores-fua': { ...honest, name: 'ignores-fua', honoursFua: false },
  /** 4 KiB are written whole or not at all. */
  'atomic-4k': { ...honest, name: 'atomic-4k', atomicSectors: 8 },
} as const satisfies Record<string, DeviceProfile>;

export type DeviceProfileName = keyof typeof DEVICE_PROFILES;
