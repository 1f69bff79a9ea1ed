/** What clients say in the recorded conversations: the beginnings of what a fuzzer makes up. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readBytes } from './episode.ts';

const DIRECTORY = join(import.meta.dirname, '../golden/nbd');

export interface RecordedConversation {
  readonly name: string;
  /** Each line of the client. */
  readonly client: readonly Buffer[];
  readonly server: Buffer;
  /** Both sides end in good order, or the server drops the connection. */
  readonly end: 'E' | 'D';
}

let messages: readonly Buffer[] | null = null;

/** All messages of all clients, one by one. */
export function recordedMessages(): readonly Buffer[] {
  messages ??= recordedConversations().flatMap(({ client }) => client);
  return messages;
}

/** Every conversation in `test/golden/nbd`. */
export function recordedConversations(): RecordedConversation[] {
  return readdirSync(DIRECTORY)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map(readConversation);
}

function readConversation(name: string): RecordedConversation {
  const client: Buffer[] = [];
  const server: Buffer[] = [];
  let end: string | undefined;
  for (const line of readFileSync(join(DIRECTORY, name), 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('C ')) client.push(readBytes(line.slice(2)));
    else if (line.startsWith('S ')) server.push(readBytes(line.slice(2)));
    else end = line;
  }
  if (end !== 'E' && end !== 'D') throw new Error(`${name} has no end`);
  return { name, client, server: Buffer.concat(server), end };
}
