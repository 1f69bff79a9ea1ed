/** The server with several clients at once, in one process, without sockets. */

import { CANARIES } from './canaries.ts';
import { drawEpisode } from './draw-episode.ts';
import { type Episode, readEpisode, type Step, writeEpisode } from './episode.ts';
import type { FuzzCase, FuzzTarget } from './fuzz-case.ts';
import { playEpisode } from './play-episode.ts';
import { recordedMessages } from './recorded-messages.ts';
import { leavingOut, shorterBytes } from './smaller.ts';

export const NBD_SERVER_TARGET: FuzzTarget = {
  name: 'nbd-server',
  about: 'handshakes and requests of several clients, with a device that holds and fails',
  canaries: CANARIES.map(({ name }) => name),
  draw: (seed) => {
    const { episode, messages, mutated } = drawEpisode(seed, recordedMessages());
    return episodeCase(episode, messages, mutated);
  },
  read: (text) => {
    const episode = readEpisode(text);
    const messages = episode.steps.filter(({ kind }) => kind === 'send').length;
    return episodeCase(episode, messages, messages);
  },
};

function episodeCase(episode: Episode, messages: number, mutated: number): FuzzCase {
  return {
    messages,
    mutated,
    play: async (canary) => {
      const planted = CANARIES.find(({ name }) => name === canary);
      await playEpisode(episode, planted);
    },
    smaller: () => smallerEpisodes(episode, episodeCase),
    write: (about) => writeEpisode(episode, about),
  };
}

export function* smallerEpisodes(
  episode: Episode,
  caseOf: (episode: Episode, messages: number, mutated: number) => FuzzCase,
): Generator<FuzzCase> {
  const { setup, steps } = episode;
  const made = (fewer: readonly Step[]): FuzzCase => caseOf({ setup, steps: fewer }, 0, 0);
  for (const fewer of leavingOut(steps)) yield made(fewer);
  for (const [at, step] of steps.entries()) {
    for (const simpler of simplerSteps(step)) yield made(steps.with(at, simpler));
  }
}

function* simplerSteps(step: Step): Generator<Step> {
  if (step.kind === 'connect' && step.value < 2 ** 20) yield { ...step, value: 2 ** 20 };
  if (step.kind !== 'send') return;
  const { bytes } = step;
  for (const shorter of shorterBytes(bytes)) yield { ...step, bytes: shorter };
  // Payload that is all alike is easier to read.
  const plain = Buffer.from(bytes).fill(bytes[28] ?? 0, 28);
  if (!plain.equals(bytes)) yield { ...step, bytes: plain };
}
