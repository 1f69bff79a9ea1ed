/** NBD URIs: print one for a listener and an export, ready to paste, and take one apart. */

import { UserError } from '../base/failure.ts';
import { DEFAULT_PORT } from './constants.ts';

import { printable } from './printable.ts';
import type { ListenAddress } from './transport.ts';

export interface NbdUri {
  readonly address: ListenAddress;
  /** "" is the default export. */
  readonly exportName: string;
  /** `nbds`: TLS is mandatory. */
  readonly tls: boolean;
}

const URI_FORM = /^(nbds?)(\+unix)?:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/;
const AUTHORITY_FORM = /^(?:[^@]*@)?(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/;

/** The URI of an export at a listener; everything that is not plainly safe is percent-encoded. */
export function formatNbdUri(address: ListenAddress, exportName: string): string {
  const path = encode(exportName);
  if (address.kind === 'unix') return `nbd+unix:///${path}?socket=${encode(address.path)}`;
  // An unspecified address listens everywhere; nobody can connect to it by that name.
  const host = UNSPECIFIED.get(address.host) ?? address.host;
  const shown = host.includes(':') ? `[${host}]` : host;
  const port = address.port === DEFAULT_PORT ? '' : `:${address.port}`;
  return `nbd://${shown}${port}/${path}`;
}

const UNSPECIFIED: ReadonlyMap<string, string> = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

/** @throws UserError saying what is wrong with it. */
export function parseNbdUri(text: string): NbdUri {
  const where = `Cannot use NBD URI "${printable(text, 200)}"`;
  const match = URI_FORM.exec(text);
  if (match === null) {
    throw new UserError(
      'uri-invalid',
      `${where}: form is unknown, must be nbd://HOST[:PORT]/EXPORT`,
      {
        hint: 'A unix socket is written nbd+unix:///EXPORT?socket=PATH.',
      },
    );
  }
  const [, scheme, unix, authority = '', path = '', query = ''] = match;
  const tls = scheme === 'nbds';
  // Exactly one slash stands between the host and the name: a second one belongs to the name.
  const exportName = decode(path.slice(1), where);
  if (unix === undefined) return { address: parseAuthority(authority, where), exportName, tls };
  const socket = query
    .split('&')
    .find((parameter) => parameter.startsWith('socket='))
    ?.slice('socket='.length);
  if (socket === undefined || socket === '') {
    throw new UserError('uri-invalid', `${where}: parameter "socket" is missing, must name a path`);
  }
  return { address: { kind: 'unix', path: decode(socket, where) }, exportName, tls };
}

function parseAuthority(authority: string, where: string): ListenAddress {
  const match = AUTHORITY_FORM.exec(authority);
  const host = match?.[1]?.replace(/^\[|\]$/g, '') ?? '';
  const port = match?.[2] ? Number(match[2]) : DEFAULT_PORT;
  if (match === null || port < 1 || port > 65_535) {
    const reason = `host and port are "${printable(authority)}", must be HOST or HOST:PORT`;
    throw new UserError('uri-invalid', `${where}: ${reason}`);
  }
  return { kind: 'tcp', host: host === '' ? 'localhost' : decode(host, where), port };
}

/** Slashes stay, as URIs allow them in paths and queries and people read them more easily. */
function encode(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%2F', '/')
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

function decode(text: string, where: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new UserError('uri-invalid', `${where}: percent-encoding is broken, must be UTF-8`, {
      cause,
    });
  }
}
