import t from 'tap';
import { toNbdError } from '../../src/nbd/errno-map.ts';

t.test('toNbdError() lets only numbers of the protocol pass', async (t) => {
  for (const [errno, error] of [
    [1, 1],
    [13, 1],
    [30, 1],
    [5, 5],
    [22, 22],
    [95, 22],
    [28, 28],
    [27, 28],
    [122, 28],
    [108, 108],
    [12, 5],
    [75, 5],
    [16, 5],
    [11, 5],
    [9999, 5],
  ] as const) {
    t.equal(toNbdError(errno), error, `errno ${errno}`);
  }
});
