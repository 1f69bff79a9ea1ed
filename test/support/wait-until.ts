/** Waits for something in another process that announces itself by nothing but its effect. */

import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 10;
const WAIT_MS_MAX = 60_000;

/** Asks `condition` until it holds; throws, naming `what`, if that takes too long. */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  waitMsMax = WAIT_MS_MAX,
): Promise<void> {
  const end = performance.now() + waitMsMax;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Waited ${waitMsMax} ms in vain for ${what}`);
    await sleep(POLL_MS);
  }
}
