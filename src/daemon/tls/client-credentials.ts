/** What a remote device's name says of TLS, read from its files. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoName, errnoOfError } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import type { Logger } from '../../base/log.ts';
import { printable } from '../../base/printable.ts';
import { type ClientCredentials, createClientUpgrade } from '../../nbd/client/client-tls.ts';
import type { RemoteName } from '../../nbd/client/remote-name.ts';
import type { TlsUpgrade } from '../../nbd/tls.ts';
import type { UriTls } from '../../nbd/uri.ts';
import { RenewedTls } from './renewed-tls.ts';

const CERTIFICATE_FILES = ['ca-cert.pem', 'client-cert.pem', 'client-key.pem', 'ca-crl.pem'];

/** `log` is told when files were renewed. @throws UserError for files that are of no use. */
export function loadClientTls(tls: UriTls, remote: RemoteName, log: Logger): TlsUpgrade {
  const { certificates: folder, pskFile } = tls;
  const folderFiles =
    folder === undefined ? [] : CERTIFICATE_FILES.map((name) => join(folder, name));
  const files = pskFile === undefined ? folderFiles : [pskFile];
  return new RenewedTls({ files, load: () => loadUpgrade(tls, remote), log });
}

function loadUpgrade(tls: UriTls, { address }: RemoteName): TlsUpgrade {
  // A unix socket has no name of its own.
  const host = address.kind === 'unix' ? 'localhost' : address.host;
  const credentials = tls.pskFile === undefined ? loadX509(tls, host) : loadPsk(tls, tls.pskFile);
  try {
    return createClientUpgrade(credentials);
  } catch (error) {
    const reason = printable((error as Error).message, 200);
    throw new UserError('bad-credentials', `Cannot use the credentials for TLS: ${reason}`, {
      cause: error,
    });
  }
}

/** The usual names of the files in a folder of certificates (NBD protocol, 11.4). */
function loadX509(tls: UriTls, host: string): ClientCredentials {
  if (tls.type === 'anon' || tls.type === 'psk') {
    const wanted =
      tls.type === 'anon' ? 'x509 or psk' : 'x509, or a key must be given with tls-psk-file';
    throw new UserError(
      'bad-credentials',
      `Cannot use the credentials for TLS: tls-type is ${tls.type}, must be ${wanted}`,
    );
  }
  const { certificates: folder } = tls;
  const read = (name: string): string | null =>
    folder === undefined ? null : readIfThere(join(folder, name));
  const authority = read('ca-cert.pem');
  if (folder !== undefined && authority === null) throw missing(join(folder, 'ca-cert.pem'));
  return {
    kind: 'x509',
    authority,
    certificate: read('client-cert.pem'),
    key: read('client-key.pem'),
    revoked: read('ca-crl.pem'),
    hostname: tls.hostname ?? host,
    verifyPeer: tls.verifyPeer ?? true,
  };
}

/** Lines of `user:hexkey`; the user is the one in the URI, or the only one. */
function loadPsk({ user }: UriTls, path: string): ClientCredentials {
  const text = readIfThere(path);
  if (text === null) throw missing(path);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const keys = lines.map((line) => /^([^:]+):((?:[0-9a-f]{2})+)$/i.exec(line.trim()));
  const found = user === undefined ? keys[0] : keys.find((key) => key?.[1] === user);
  if (keys.includes(null)) {
    throw badKeys(path, 'it has a line that is no user and key, must be USER:HEXADECIMAL');
  }
  if (user === undefined && keys.length !== 1) {
    throw badKeys(path, `it has ${keys.length} users, must be told which as nbds://USER@HOST`);
  }
  if (found === null || found === undefined) {
    throw badKeys(path, `it has no key of user "${printable(user ?? '')}"`);
  }
  return { kind: 'psk', user: found[1]!, key: Buffer.from(found[2]!, 'hex') };
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const errno = errnoOfError(error);
    if (errnoName(errno) === 'ENOENT') return null;
    throw badKeys(path, errnoName(errno));
  }
}

function missing(path: string): UserError {
  return badKeys(path, 'it does not exist');
}

function badKeys(path: string, problem: string): UserError {
  return new UserError(
    'bad-credentials',
    `Cannot use "${printable(path, 200)}" for TLS: ${problem}`,
  );
}
