/** How much of the time a throttled resynchronisation takes for itself. */

import t from 'tap';
import { silentProbe } from '../../src/base/probe.ts';
import type { Region, Sector, SectorCount } from '../../src/base/units.ts';
import type { BioOp } from '../../src/block/bio.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { DelayFilter } from '../../src/fault/delay-filter.ts';
import { CopyThrottle } from '../../src/mirror/copy-throttle.ts';
import { PiecewiseKcopyd } from '../../src/mirror/kcopyd.ts';
import { Leg } from '../../src/mirror/leg.ts';
import { VirtualClock } from '../../src/sim/machine/virtual-clock.ts';

const REGION_SECTORS = 512;
const REGIONS = 100;

t.test('mirror: recovery: a throttled copy takes its share of the time, no less', async (t) => {
  for (const requestMs of [1, 20]) {
    const unthrottledMs = await timeOfCopy({ percent: 100, requestMs });
    for (const percent of [50, 20, 5]) {
      const share = (100 * unthrottledMs) / (await timeOfCopy({ percent, requestMs }));
      const what = `${percent}% of the time, ${requestMs} ms a request: ${share.toFixed(1)}%`;
      t.ok(share > 0.8 * percent && share < 1.6 * percent, what);
    }
  }
});

/** Milliseconds for all regions, one after the other as a mirror copies them. */
async function timeOfCopy(options: { percent: number; requestMs: number }): Promise<number> {
  const clock = new VirtualClock();
  const [source, destination] = [0, 1].map((index) => slowLeg(clock, index, options.requestMs));
  const throttle = new CopyThrottle(clock, options.percent);
  const kcopyd = new PiecewiseKcopyd({ clock, probe: silentProbe, throttle });
  let copied = 0;
  const copyNext = (): void => {
    const job = {
      region: copied as Region,
      source: source!,
      destinations: [destination!],
      sector: copied * REGION_SECTORS,
      count: REGION_SECTORS as SectorCount,
      ignoreErrors: false,
    };
    kcopyd.copy(job, () => {
      copied += 1;
      if (copied < REGIONS) copyNext();
    });
  };
  copyNext();
  while (copied < REGIONS && clock.step());
  return clock.now();
}

function slowLeg(clock: VirtualClock, index: number, requestMs: number): Leg {
  const sizeSectors = (REGIONS * REGION_SECTORS) as SectorCount;
  const memory = new MemoryDevice({ name: `leg${index}`, sizeSectors, sparse: true });
  const device = new DelayFilter(memory, clock);
  const ops: readonly BioOp[] = ['read', 'write'];
  device.arm({ ops }, { delayMs: requestMs });
  return new Leg({ index, device, offset: 0 as Sector });
}
