/**
 * The client's side of TLS (NBD protocol, 11): encrypts a stream, and makes sure who is at the
 * other end.
 */

import { isIP, type Socket } from 'node:net';
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect,
  createSecureContext,
  rootCertificates,
} from 'node:tls';
import { printable } from '../../base/printable.ts';
import { PSK_CIPHERS, type TlsOutcome, type TlsUpgrade, VERSION_MIN } from '../tls.ts';

/** Files' contents in PEM. */
export interface ClientX509 {
  readonly kind: 'x509';
  /** Whose certificates are believed; null: those that the whole world believes. */
  readonly authority: string | null;
  /** Ours, with its key; null where the server does not ask for one. */
  readonly certificate: string | null;
  readonly key: string | null;
  /** Certificates that are not believed any more. */
  readonly revoked: string | null;
  /** The name or address that the server's certificate must be for. */
  readonly hostname: string;
  /** False: whoever answers is believed. */
  readonly verifyPeer: boolean;
}

export interface ClientPsk {
  readonly kind: 'psk';
  readonly user: string;
  readonly key: Buffer;
}

export type ClientCredentials = ClientX509 | ClientPsk;

/** @throws Error of OpenSSL for credentials that it cannot use. */
export function createClientUpgrade(credentials: ClientCredentials): TlsUpgrade {
  const options = optionsFor(credentials);
  createSecureContext(options);
  return { start: (socket, done) => start(options, socket, done) };
}

function optionsFor(credentials: ClientCredentials): ConnectionOptions {
  if (credentials.kind === 'psk') {
    const { user, key } = credentials;
    return {
      minVersion: VERSION_MIN,
      ciphers: PSK_CIPHERS,
      // There is no certificate to have a name: whoever knows the key is the one.
      checkServerIdentity: () => undefined,
      pskCallback: () => ({ identity: user, psk: key }),
    };
  }
  const { authority, certificate, key, revoked, hostname, verifyPeer } = credentials;
  return {
    minVersion: VERSION_MIN,
    ca: authority ?? [...rootCertificates],
    ...(certificate === null ? {} : { cert: certificate }),
    ...(key === null ? {} : { key }),
    ...(revoked === null ? {} : { crl: revoked }),
    ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
    rejectUnauthorized: verifyPeer,
    checkServerIdentity: (_name, certificate) => checkServerIdentity(hostname, certificate),
  };
}

function start(
  options: ConnectionOptions,
  socket: Socket,
  done: (outcome: TlsOutcome) => void,
): void {
  let isOver = false;
  const end = (outcome: TlsOutcome): void => {
    if (isOver) return;
    isOver = true;
    done(outcome);
  };
  const secured = connect({ ...options, socket });
  secured.once('secureConnect', () => end({ socket: secured }));
  secured.on('error', (error: Error & { reason?: string }) => {
    const reason = printable(error.reason ?? error.message, 200);
    // What a server says that does not know the user, or has another key for it.
    const isKey = options.pskCallback !== undefined && /alert|decrypt/i.test(reason);
    end({ failure: isKey ? `${reason}: user or key are not the server's` : reason });
  });
  secured.once('close', () => end({ failure: 'server left' }));
}
