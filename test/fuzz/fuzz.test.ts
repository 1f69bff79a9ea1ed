/** A smoke run of every target: what was found before, canaries, and some seconds of new cases. */

import t from 'tap';
import { byEffort } from '../support/effort.ts';
import { failureOf, failureOfPlays, kindOf, shrinkCase } from './fuzz-case.ts';
import { corpusOf, TARGETS } from './targets.ts';

/** A canary that lives longer than this has shown that the fuzzer is blind. */
const CANARY_CASES_MAX = 300;

for (const target of TARGETS) {
  const { name } = target;

  t.test(`fuzz ${name}: nothing that was found before goes wrong again`, async (t) => {
    for (const entry of corpusOf(target)) {
      const failure = await failureOf(target.read(entry.text), null);
      t.equal(failure?.message, undefined, entry.name);
    }
  });

  for (const canary of target.canaries) {
    t.test(`fuzz ${name}: the canary ${canary} is found, and its case is kept small`, async (t) => {
      for (let index = 0; index < CANARY_CASES_MAX; index++) {
        const drawn = target.draw(`canary/${index}`);
        const failure = await failureOf(drawn, canary);
        if (failure === null) continue;
        t.comment(`case ${index}: ${failure.message}`);
        t.equal((await failureOf(drawn, null))?.message, undefined, 'nothing else is wrong');
        const shrunk = await shrinkCase(drawn, canary, target.plays);
        const again = target.read(shrunk.write('kept'));
        const kept = await failureOfPlays(again, canary, target.plays);
        t.equal(kindOf(kept), kindOf(failure), 'its file shows it');
        t.ok(shrunk.write('').length <= drawn.write('').length);
        return;
      }
      t.fail(`not found in ${CANARY_CASES_MAX} cases`);
    });
  }

  t.test(`fuzz ${name}: a smoke run`, async (t) => {
    const affordable = byEffort({ quick: 60, standard: 300, full: 20_000 });
    const cases = Math.ceil(affordable / (target.cost ?? 1));
    let mutated = 0;
    for (let index = 0; index < cases; index++) {
      const seed = `smoke/${index}`;
      const drawn = target.draw(seed);
      mutated += drawn.mutated;
      const failure = await failureOf(drawn, null);
      if (failure !== null) t.fail(`scripts/fuzz ${name} --seed ${seed}: ${failure.stack}`);
    }
    await target.close?.();
    t.comment(`${cases} cases, ${mutated} mutated messages`);
  });
}
