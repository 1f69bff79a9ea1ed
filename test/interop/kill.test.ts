/**
 * The server is killed with -9 at random moments under write load, again and again. After each: the
 * log covers every difference between the legs, recovery ends, the legs are equal, and every write
 * that was acknowledged reads back, during recovery and after it.
 *
 * The death of a process is no power cut: what it wrote stays in the page cache. This is about what
 * our own process keeps in its head; the crash sweep in test/scenarios is about power.
 */

import { statSync } from 'node:fs';
import t from 'tap';
import { Prng } from '../../src/base/prng.ts';
import { AcknowledgedWrites } from '../support/acknowledged-writes.ts';
import { byEffort } from '../support/effort.ts';
import { KIB, MIB, MirrorFiles } from '../support/mirror-files.ts';
import { runProgram } from '../support/run-program.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

const ROUNDS = byEffort({ quick: 2, standard: 12, full: 200 });
const SEED = Number(process.env.TEST_SEED ?? 20_240_117);
const WRITES_MAX = 1000;
/** The half of the device in which every write is remembered; the other is fio's. */
const WATCHED = 32 * MIB;
const DELAY_MS_MAX = 30;

t.test(`kill -9 under load, ${ROUNDS} times`, async (t) => {
  if (!requireTool(t, 'fio')) return;
  t.comment(`again: TEST_SEED=${SEED} scripts/test test/interop/kill.test.ts`);
  const prng = new Prng(SEED);
  const mirror = new MirrorFiles(t, { sizeBytes: 2 * WATCHED, regionBytes: 64 * KIB });
  const writes = new AcknowledgedWrites({ sizeBytes: WATCHED, prng });
  let killsWithDifference = 0;
  for (let round = 0; round < ROUNDS; round++) {
    // Some rounds kill again before the recovery that the last kill made necessary has ended.
    const kills = prng.chance(1, 3) ? 2 : 1;
    for (let kill = 0; kill < kills; kill++) {
      const moment = {
        writes: prng.between(1, WRITES_MAX),
        delayMs: prng.between(0, DELAY_MS_MAX),
        inFlight: prng.between(1, 32),
      };
      // Writes through the thread pool are apart on the two legs for longer than inline ones.
      const server = await mirror.serve('--aio', prng.pick(['auto', 'inline', 'pool']));
      await killUnderLoad(server, mirror.legs[0], writes, moment);
      if (mirror.differing().length > 0) killsWithDifference += 1;
      const uncovered = mirror.uncovered();
      if (uncovered.length > 0)
        t.fail(`round ${round}: regions ${uncovered} differ, log says clean`);
    }
    const server = await mirror.serve();
    const client = await server.connect();
    const during = await writes.broken(client);
    await mirror.clean();
    const after = await writes.broken(client);
    await client.close();
    await server.stop();
    const differing = mirror.differing();
    t.strictSame(
      { during, after, differing },
      { during: [], after: [], differing: [] },
      `round ${round}: ${writes.acknowledged} writes acknowledged so far`,
    );
  }
  t.comment(`the legs differed after ${killsWithDifference} kills`);
});

interface Moment {
  /** Behind so many ends of writes, */
  readonly writes: number;
  /** and then this long. */
  readonly delayMs: number;
  readonly inFlight: number;
}

async function killUnderLoad(
  server: ServerProcess,
  firstLeg: string,
  writes: AcknowledgedWrites,
  moment: Moment,
): Promise<void> {
  // Recovery reads the first leg and never writes it: what changes it is fio.
  const changed = statSync(firstLeg).mtimeMs;
  const others = runProgram(hammer(server.uri));
  await waitUntil('fio to write', () => statSync(firstLeg).mtimeMs !== changed);
  const client = await server.connect();
  let left = moment.writes;
  const onEnd = (): void => {
    left -= 1;
    if (left === 0) void server.killAfter(moment.delayMs);
  };
  await writes.writeUntilLost(client, { inFlight: moment.inFlight, onEnd });
  await server.kill();
  client.vanish();
  await others;
}

/** fio, which keeps the server busier than we can; what it writes is not looked at. */
function hammer(uri: string): string[] {
  return [
    ...['fio', '--name=hammer', '--ioengine=nbd', `--uri=${uri}`, '--rw=randwrite'],
    ...[`--offset=${WATCHED}`, `--size=${WATCHED}`, '--bssplit=4k/50:256k/50', '--iodepth=16'],
    ...['--time_based', '--runtime=60'],
  ];
}
