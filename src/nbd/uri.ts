/**
 * NBD URIs (NBD protocol, 12): print one for a listener and an export, ready to paste, and take one
 * apart.
 *
 *     nbd://host:10809/export                    TCP; nbds:// with TLS
 *     nbd+unix:///export?socket=/run/m.sock      a unix socket; nbds+unix:// with TLS
 *     nbds://alice@[::1]/?tls-psk-file=keys.psk  with parameters of TLS
 */

import { UserError } from '../base/failure.ts';
import { UNIX_SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import { DEFAULT_PORT, STRING_SIZE_MAX } from './constants.ts';
import type { ListenAddress } from './transport.ts';

export interface NbdUri {
  /** An abstract socket's path begins with a NUL. */
  readonly address: ListenAddress;
  /** "" is the default export. */
  readonly exportName: string;
  /** Null for `nbd`; with `nbds` TLS is mandatory. */
  readonly tls: UriTls | null;
  /** Parameters that the caller said it knows, by name. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** What a URI says of TLS beyond its being mandatory. */
export interface UriTls {
  /** In front of the host: who the client is, for pre-shared keys. */
  readonly user?: string;
  readonly type?: UriTlsType;
  /** The name that the server's certificate must have, where it is not the host. */
  readonly hostname?: string;
  readonly verifyPeer?: boolean;
  /** A folder of certificates. */
  readonly certificates?: string;
  readonly pskFile?: string;
}

const TLS_TYPES = ['anon', 'x509', 'psk'] as const;
export type UriTlsType = (typeof TLS_TYPES)[number];

const URI_FORM = /^([a-z][a-z0-9.+-]*):\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i;
const AUTHORITY_FORM = /^(?:([^@]*)@)?(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/;

const SCHEMES: ReadonlyMap<string, { readonly unix: boolean; readonly tls: boolean }> = new Map([
  ['nbd', { unix: false, tls: false }],
  ['nbds', { unix: false, tls: true }],
  ['nbd+unix', { unix: true, tls: false }],
  ['nbds+unix', { unix: true, tls: true }],
]);

/** `tls`: the server wants it, and how a client comes by its credentials, if that is to be said. */
export function formatNbdUri(
  address: ListenAddress,
  exportName: string,
  tls: UriTls | null = null,
): string {
  const scheme = tls === null ? 'nbd' : 'nbds';
  const user = tls?.user === undefined ? '' : `${encodeURIComponent(tls.user)}@`;
  const parameters = tlsParameters(tls ?? {});
  const path = encode(exportName);
  if (address.kind === 'unix') {
    parameters.unshift(`socket=${encode(address.path)}`);
    return `${scheme}+unix://${user}/${path}?${parameters.join('&')}`;
  }
  // An unspecified address listens everywhere; nobody can connect to it by that name.
  const host = encode(UNSPECIFIED.get(address.host) ?? address.host).replaceAll('%3A', ':');
  const shown = host.includes(':') ? `[${host}]` : host;
  const port = address.port === DEFAULT_PORT ? '' : `:${address.port}`;
  const query = parameters.length === 0 ? '' : `?${parameters.join('&')}`;
  return `${scheme}://${user}${shown}${port}/${path}${query}`;
}

const UNSPECIFIED: ReadonlyMap<string, string> = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

function tlsParameters(tls: UriTls): string[] {
  const words: (readonly [string, string | undefined])[] = [
    ['tls-type', tls.type],
    ['tls-hostname', tls.hostname],
    ['tls-verify-peer', tls.verifyPeer === undefined ? undefined : tls.verifyPeer ? '1' : '0'],
    ['tls-certificates', tls.certificates],
    ['tls-psk-file', tls.pskFile],
  ];
  return words.flatMap(([name, value]) => (value === undefined ? [] : `${name}=${encode(value)}`));
}

/**
 * True for what begins like a URI of any scheme, so that it can be told from a path: one that means
 * nothing here shall not become the name of a file.
 */
export function looksLikeUri(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
}

/**
 * Takes a URI apart. A parameter that means nothing is an error: it would be a wish unheard.
 *
 * @param ownParameters further parameters that the caller knows.
 * @throws UserError with the code `uri-invalid`, saying what is wrong with it.
 */
export function parseNbdUri(text: string, ownParameters: readonly string[] = []): NbdUri {
  const where = `Cannot use NBD URI "${printable(text, 200)}"`;
  const match = URI_FORM.exec(text);
  if (match === null) throw unknownForm(where, 'form is unknown, must be nbd://HOST[:PORT]/EXPORT');
  const [, schemeWord = '', authority = '', path = '', query = ''] = match;
  const scheme = SCHEMES.get(schemeWord.toLowerCase());
  if (scheme === undefined) {
    const known = [...SCHEMES.keys()].join(', ');
    throw unknownForm(where, `scheme is "${printable(schemeWord)}", must be one of ${known}`);
  }
  // Exactly one slash stands between the host and the name: a second one belongs to the name.
  const exportName = decode(path.slice(1), where);
  if (exportName.includes('\0') || Buffer.byteLength(exportName) > STRING_SIZE_MAX) {
    throw invalid(
      where,
      `export name must have at most ${STRING_SIZE_MAX} bytes and no NUL character`,
    );
  }
  const parameters = parseQuery(query, where);
  const { user, address } = scheme.unix
    ? parseUnixAddress(authority, parameters, where)
    : parseAuthority(authority, where);
  const tls = scheme.tls ? takeTls(user, parameters, where) : null;
  for (const name of parameters.keys()) {
    if (ownParameters.includes(name)) continue;
    throw invalid(where, `parameter "${printable(name)}" ${whyUnknown(name)}`);
  }
  return { address, exportName, tls, parameters };
}

function whyUnknown(name: string): string {
  if (name === 'socket') return 'belongs to a unix socket, must be used with nbd+unix';
  if (name.startsWith('tls-')) return 'is unknown, or belongs to TLS: scheme must be nbds';
  return 'is unknown';
}

function parseQuery(query: string, where: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const [name = '', ...rest] = pair.split('=');
    const shown = printable(name);
    if (rest.length === 0) throw invalid(where, `parameter "${shown}" has no value`);
    if (parameters.has(name)) throw invalid(where, `parameter "${shown}" is given twice`);
    parameters.set(name, decode(rest.join('='), where));
  }
  return parameters;
}

interface Place {
  readonly user: string | undefined;
  readonly address: ListenAddress;
}

/** Takes its parameter out of `parameters`. */
function parseUnixAddress(
  authority: string,
  parameters: Map<string, string>,
  where: string,
): Place {
  const path = parameters.get('socket') ?? '';
  if (path === '') throw invalid(where, 'parameter "socket" is missing, must name a path');
  parameters.delete('socket');
  const size = Buffer.byteLength(path);
  if (size > UNIX_SOCKET_PATH_BYTES_MAX) {
    const most = UNIX_SOCKET_PATH_BYTES_MAX;
    throw invalid(where, `path of the socket has ${size} bytes, must have at most ${most}`);
  }
  // A NUL in front makes it abstract; anywhere else it would end the path.
  if (path.includes('\0', 1)) throw invalid(where, 'path of the socket has a NUL in it');
  const [, user, host] = AUTHORITY_FORM.exec(authority) ?? [];
  if (host !== '') {
    throw invalid(where, `host is "${printable(authority)}", must be empty with a unix socket`);
  }
  return { user: userOf(user, where), address: { kind: 'unix', path } };
}

function parseAuthority(authority: string, where: string): Place {
  const match = AUTHORITY_FORM.exec(authority);
  const [, user, hostWord = '', portWord] = match ?? [];
  const host = decode(hostWord.replace(/^\[|\]$/g, ''), where);
  const port = portWord ? Number(portWord) : DEFAULT_PORT;
  const isBracketed = hostWord.startsWith('[');
  const isBad = match === null || port < 1 || port > 65_535 || isBracketed !== host.includes(':');
  if (isBad || /[\0\s/]/.test(host)) {
    const reason = `host and port are "${printable(authority)}", must be HOST or HOST:PORT`;
    throw unknownForm(where, `${reason} with a port up to 65535, with an IPv6 address in brackets`);
  }
  const address: ListenAddress = { kind: 'tcp', host: host === '' ? 'localhost' : host, port };
  return { user: userOf(user, where), address };
}

function userOf(word: string | undefined, where: string): string | undefined {
  return word === undefined || word === '' ? undefined : decode(word, where);
}

/** Takes its parameters out of `parameters`. */
function takeTls(user: string | undefined, parameters: Map<string, string>, where: string): UriTls {
  const take = (name: string): string | undefined => {
    const value = parameters.get(name);
    parameters.delete(name);
    if (value === '') throw invalid(where, `parameter "${name}" is empty`);
    return value;
  };
  const typeWord = take('tls-type');
  const type = TLS_TYPES.find((one) => one === typeWord);
  if (type !== typeWord) {
    const reason = `tls-type is "${printable(typeWord!)}", must be one of ${TLS_TYPES.join(', ')}`;
    throw invalid(where, reason);
  }
  const verifyWord = take('tls-verify-peer');
  if (verifyWord !== undefined && verifyWord !== '0' && verifyWord !== '1') {
    throw invalid(where, `tls-verify-peer is "${printable(verifyWord)}", must be 0 or 1`);
  }
  const verifyPeer = verifyWord === undefined ? undefined : verifyWord === '1';
  const [hostname, certificates] = [take('tls-hostname'), take('tls-certificates')];
  const pskFile = take('tls-psk-file');
  return {
    ...(user === undefined ? {} : { user }),
    ...(type === undefined ? {} : { type }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(verifyPeer === undefined ? {} : { verifyPeer }),
    ...(certificates === undefined ? {} : { certificates }),
    ...(pskFile === undefined ? {} : { pskFile }),
  };
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

function invalid(where: string, problem: string): UserError {
  return new UserError('uri-invalid', `${where}: ${problem}`);
}

function unknownForm(where: string, problem: string): UserError {
  return new UserError('uri-invalid', `${where}: ${problem}`, {
    hint: 'A unix socket is written nbd+unix:///EXPORT?socket=PATH.',
  });
}
