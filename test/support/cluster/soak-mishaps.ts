/** What goes wrong in a soak: drawn from a seed, each with what undoes it. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Prng } from '../../../src/base/prng.ts';
import { type EtcdMember, leaderOf } from '../etcd.ts';
import { PARTS, type Part, type SoakNode } from './soak-node.ts';

export interface Mishap {
  readonly name: string;
  /** Begins and undoes it; ends when all is as before, or is on its way there. */
  readonly happen: () => Promise<void>;
}

export interface Scene {
  readonly nodes: readonly SoakNode[];
  readonly members: readonly EtcdMember[];
  readonly leaseMs: number;
  readonly prng: Prng;
}

/** To a node, or to both. */
export function nodeMishap({ nodes, leaseMs, prng }: Scene): Mishap {
  const node = prng.pick(nodes);
  const { name } = node;
  const awayMs = prng.chance(1, 2) ? prng.between(0, 500) : prng.between(leaseMs, 3 * leaseMs);
  const frozenMs = prng.between(leaseMs, 3 * leaseMs);
  const ending = (what: string, who: readonly SoakNode[], parts: readonly Part[]): Mishap => ({
    name: `${what}, back after ${awayMs} ms`,
    happen: async () => {
      await Promise.all(who.flatMap((one) => parts.map((part) => one.kill(part))));
      await sleep(awayMs);
      await Promise.all(who.map((one) => one.bringUp()));
    },
  });
  const freezing = (parts: readonly Part[], ms: number): Mishap => ({
    name: `${name}: ${parts.join(' and ')} stopped for ${ms} ms`,
    happen: async () => {
      for (const part of parts) node.freeze(part);
      await sleep(ms);
      for (const part of prng.shuffle([...parts])) node.thaw(part);
    },
  });
  const choices: readonly (() => Mishap)[] = [
    () => ending(`${name} killed`, [node], PARTS),
    () => ending(`${name}: mirror killed`, [node], ['serve']),
    () => ending(`${name}: log server killed`, [node], ['logd']),
    () => ending('both nodes killed', nodes, PARTS),
    () => freezing(PARTS, frozenMs),
    () => freezing(['logd'], frozenMs),
    () => freezing(['serve'], frozenMs),
    () => freezing(PARTS, Math.round(leaseMs / 3)),
    () => ({
      name: `${name} stopped in good order, back after ${awayMs} ms`,
      happen: async () => {
        await node.stop('serve');
        await node.stop('logd');
        await sleep(awayMs);
        await node.bringUp();
      },
    }),
    () => ({
      name: `${name}: log server stopped in good order`,
      happen: async () => {
        await node.stop('logd');
        await node.bringUp();
      },
    }),
  ];
  return prng.pick(choices)();
}

/** To members of etcd: one, the leader, or most of them. */
export function etcdMishap({ members, leaseMs, prng }: Scene): Mishap {
  const chosen = prng.shuffle([...members]);
  const awayMs = prng.between(500, 2 * leaseMs);
  const killing = (what: string, choose: () => Promise<EtcdMember>): Mishap => ({
    name: `etcd: ${what} killed, back after ${awayMs} ms`,
    happen: async () => {
      const member = await choose();
      await member.kill();
      await sleep(awayMs);
      member.start();
    },
  });
  const freezing = (what: string, who: readonly EtcdMember[]): Mishap => ({
    name: `etcd: ${what} stopped for ${awayMs} ms`,
    happen: async () => {
      for (const member of who) member.stop();
      await sleep(awayMs);
      for (const member of who) member.go();
    },
  });
  const choices: readonly (() => Mishap)[] = [
    () => killing('a member', async () => chosen[0]!),
    () => killing('the leader', async () => (await leaderOf(members)) ?? chosen[0]!),
    () => freezing('a member', chosen.slice(0, 1)),
    () => freezing('most members', chosen.slice(0, 2)),
    () => freezing('all members', chosen),
  ];
  return prng.pick(choices)();
}
