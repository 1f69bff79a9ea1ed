/**
 * The server is killed with -9 at random moments under write load, again and again. After each: the
 * log covers every difference between the legs, recovery ends, the legs are equal, and every write
 * that was acknowledged reads back, during recovery and after it.
 *
 * The death of a process is no power cut: what it wrote stays in the page cache. This is about what our
 * own process keeps in its head; the crash sweep in test/scenarios is about power.
 */

import t from 'tap';
import { Prng } from '../../src/base/prng.ts';
import { AcknowledgedWrites } from '../support/acknowledged-writes.ts';
import { byEffort } from '../support/effort.ts';
import { KIB, MIB, MirrorFiles } from '../support/mirror-files.ts';

const ROUNDS = byEffort({ quick: 2, standard: 12, full: 200 });
const SEED = Number(process.env.TEST_SEED ?? 20_240_117);
/** A round's kill comes behind so many ends of writes, at most. */
const WRITES_MAX = 4000;

t.test(`kill -9 under load, ${ROUNDS} times`, async (t) => {
  t.comment(`again: TEST_SEED=${SEED} scripts/test test/interop/kill.test.ts`);
  const prng = new Prng(SEED);
  const mirror = new MirrorFiles(t, { sizeBytes: 32 * MIB, regionBytes: 64 * KIB });
  const writes = new AcknowledgedWrites({ sizeBytes: mirror.sizeBytes, prng });
  for (let round = 0; round < ROUNDS; round++) {
    // Some rounds kill again before the recovery that the last kill made necessary has ended.
    const kills = prng.chance(1, 3) ? 2 : 1;
    for (let kill = 0; kill < kills; kill++) {
      const writesBefore = prng.between(0, WRITES_MAX);
      const server = await mirror.serve();
      await killUnderLoad(server, writes, writesBefore, prng.between(1, 32));
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
});

/** Kills the server behind so many ends of writes, with others on their way. */
async function killUnderLoad(
  server: Awaited<ReturnType<MirrorFiles['serve']>>,
  writes: AcknowledgedWrites,
  writesBefore: number,
  inFlight: number,
): Promise<void> {
  const client = await server.connect();
  let left = writesBefore;
  const onEnd = (): void => {
    if (left === 0) void server.kill();
    left -= 1;
  };
  await writes.writeUntilLost(client, { inFlight, onEnd });
  await server.kill();
  client.vanish();
}
