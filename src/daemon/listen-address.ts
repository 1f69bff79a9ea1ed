/** Where to listen, as people write it: `HOST:PORT`, `HOST`, `[IPv6]:PORT`, `:PORT` or `PORT`. */

import { UserError } from '../base/failure.ts';

export const DEFAULT_HOST = '127.0.0.1';
export const DEFAULT_PORT = 10809;

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** @throws UserError with the code `bad-listen`. */
export function parseListenAddress(text: string): TcpAddress {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::([^:]*))?$/.exec(text);
  if (match === null || text === '') throw badListen(text, 'must be HOST:PORT');
  const [, bracketed, plain, portWord] = match;
  if (bracketed === undefined && portWord === undefined && /^[0-9]+$/.test(plain!)) {
    return { host: DEFAULT_HOST, port: parsePort(text, plain!) };
  }
  const port = portWord === undefined ? DEFAULT_PORT : parsePort(text, portWord);
  // As elsewhere, no host means every address of this machine; that must be said with the colon.
  return { host: (bracketed ?? plain!) || '::', port };
}

function parsePort(text: string, word: string): number {
  const port = /^[0-9]{1,6}$/.test(word) ? Number(word) : Number.NaN;
  if (port <= 65_535) return port;
  throw badListen(text, `port is "${word}", must be 0 to 65535`);
}

function badListen(text: string, problem: string): UserError {
  return new UserError('bad-listen', `Cannot listen on "${text}": ${problem}`, {
    hint: 'For example --listen 127.0.0.1:10809, or --listen [::1]:0 for a free port.',
  });
}
