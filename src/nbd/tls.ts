/**
 * TLS below NBD (NBD protocol, 11): who may do without it, with which credentials it runs, and the
 * server's side of the upgrade of a stream.
 */

import type { Socket } from 'node:net';
import { createSecureContext, createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { printable } from '../base/printable.ts';
import { formatSubject, matchesSubject } from './subject-pattern.ts';

/**
 * - `off`: STARTTLS is refused. - `on`: the client chooses, but for exports that ask for TLS.
 * - `require`: nothing but STARTTLS works in the clear.
 */
export const TLS_MODES = ['off', 'on', 'require'] as const;
export type TlsMode = (typeof TLS_MODES)[number];

export interface TlsPolicy {
  readonly mode: TlsMode;
  /** Null where it is off. */
  readonly upgrade: TlsUpgrade | null;
}

export const NO_TLS: TlsPolicy = { mode: 'off', upgrade: null };

export type TlsOutcome =
  | { readonly socket: TLSSocket }
  /** One sentence without a full stop; the stream is of no use any more. */
  | { readonly failure: string };

/** One side's part in turning a socket into an encrypted one. */
export interface TlsUpgrade {
  /**
   * `socket` is paused, and all that was written to it in the clear has left. `done` is called
   * once.
   */
  start(socket: Socket, done: (outcome: TlsOutcome) => void): void;
}

/** Files' contents in PEM. */
export interface X509Credentials {
  readonly kind: 'x509';
  readonly certificate: string;
  readonly key: string;
  /** Whose certificates are believed; required to verify the peer. */
  readonly authority: string | null;
  /** Certificates that are not believed any more. */
  readonly revoked: string | null;
  /** The client must have a certificate that the authority has signed. */
  readonly verifyPeer: boolean;
  /** And its subject must match one of these; none: all do. See `matchesSubject`. */
  readonly authorizedSubjects: readonly string[];
}

export interface PskCredentials {
  readonly kind: 'psk';
  /** By the name of the user, who is to know it as well. */
  readonly keys: ReadonlyMap<string, Buffer>;
}

export type TlsCredentials = X509Credentials | PskCredentials;

/** Older versions have known weaknesses; nbd-client 3.24 speaks nothing newer. */
export const VERSION_MIN = 'TLSv1.2';

/** Forward secrecy first, nothing without authentication. For 1.3, then for 1.2. */
export const PSK_CIPHERS = [
  ...['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_256_GCM_SHA384'],
  ...['ECDHE-PSK-CHACHA20-POLY1305', 'DHE-PSK-AES256-GCM-SHA384', 'DHE-PSK-AES128-GCM-SHA256'],
  ...['DHE-PSK-CHACHA20-POLY1305', 'ECDHE-PSK-AES256-CBC-SHA384', 'ECDHE-PSK-AES128-CBC-SHA256'],
  ...['PSK-AES256-GCM-SHA384', 'PSK-AES128-GCM-SHA256', 'PSK-CHACHA20-POLY1305'],
].join(':');

/** The deadline of the whole handshake is ours to watch. */
const HANDSHAKE_MS_NEVER = 2 ** 31 - 1;

/** The server's side. @throws Error of OpenSSL for credentials that it cannot use. */
export function createServerUpgrade(credentials: TlsCredentials): TlsUpgrade {
  const options = optionsFor(credentials);
  createSecureContext(options);
  return { start: (socket, done) => startServerSide(credentials, options, socket, done) };
}

function optionsFor(credentials: TlsCredentials): TlsOptions {
  const common = { minVersion: VERSION_MIN, handshakeTimeout: HANDSHAKE_MS_NEVER } as const;
  // No authority at all, or those that the whole world believes would be taken.
  if (credentials.kind === 'psk') return { ...common, ca: [], ciphers: PSK_CIPHERS };
  const { certificate, key, authority, revoked, verifyPeer } = credentials;
  return {
    ...common,
    cert: certificate,
    key,
    ca: authority ?? [],
    ...(revoked === null ? {} : { crl: revoked }),
    requestCert: verifyPeer,
    rejectUnauthorized: verifyPeer,
  };
}

/**
 * A TLS server of its own for each client, that listens nowhere. Only a `tls.Server` enforces
 * client certificates, and only one without other clients tells for certain whose result it has.
 */
function startServerSide(
  credentials: TlsCredentials,
  options: TlsOptions,
  socket: Socket,
  done: (outcome: TlsOutcome) => void,
): void {
  let unknownUser: string | null = null;
  const pskCallback = (keys: PskCredentials['keys']) => (_socket: TLSSocket, user: string) => {
    const key = keys.get(user);
    unknownUser = key === undefined ? user : null;
    return key ?? null;
  };
  const server = createServer({
    ...options,
    ...(credentials.kind === 'psk' ? { pskCallback: pskCallback(credentials.keys) } : {}),
  });
  let isOver = false;
  const end = (outcome: TlsOutcome): void => {
    if (isOver) return;
    isOver = true;
    done(outcome);
  };
  server.on('tlsClientError', (error, secured) => {
    if (unknownUser !== null)
      return end({ failure: `user "${printable(unknownUser)}" is unknown` });
    const { authorizationError } = secured;
    if (!authorizationError) return end({ failure: explain(error) });
    end({ failure: `client certificate is refused: ${authorizationError}` });
  });
  server.on('secureConnection', (secured) => {
    const failure = credentials.kind === 'x509' ? judgeSubject(credentials, secured) : null;
    if (failure === null) return end({ socket: secured });
    secured.destroy();
    end({ failure });
  });
  server.emit('connection', socket);
}

/** Null where the client is welcome. */
function judgeSubject(credentials: X509Credentials, secured: TLSSocket): string | null {
  const { authorizedSubjects } = credentials;
  if (authorizedSubjects.length === 0) return null;
  const subject = secured.getPeerX509Certificate()?.subject ?? '';
  if (authorizedSubjects.some((pattern) => matchesSubject(pattern, subject))) return null;
  return `client certificate of "${printable(formatSubject(subject), 200)}" is not authorised`;
}

/** OpenSSL's errors begin with where in its source they arose. */
function explain(error: NodeJS.ErrnoException & { reason?: string }): string {
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return 'client left';
  return printable(error.reason ?? error.message, 200);
}
