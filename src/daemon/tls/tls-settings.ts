/** Words of the command line about TLS, and the files that they name: understood and checked. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errnoName, errnoOfError } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { type Logger, silentLogger } from '../../base/log.ts';
import { printable } from '../../base/printable.ts';
import {
  createServerUpgrade,
  NO_TLS,
  type PskCredentials,
  TLS_MODES,
  type TlsCredentials,
  type TlsMode,
  type TlsPolicy,
  type TlsUpgrade,
  type X509Credentials,
} from '../../nbd/tls.ts';
import type { UriTls } from '../../nbd/uri.ts';
import { RenewedTls } from './renewed-tls.ts';

export interface TlsWords {
  readonly tls?: string;
  readonly tlsCertificates?: string;
  readonly tlsPsk?: string;
  readonly tlsVerifyPeer?: boolean;
  readonly tlsAuthorize?: readonly string[];
  readonly tlsOnly?: readonly string[];
}

/** Those that are worth nothing without TLS. */
const TLS_WORDS = [
  'tlsCertificates',
  'tlsPsk',
  'tlsVerifyPeer',
  'tlsAuthorize',
  'tlsOnly',
] as const;

export interface TlsSettings {
  readonly policy: TlsPolicy;
  /** Names of exports that are served with TLS only, where TLS is on and not required. */
  readonly onlyExports: readonly string[];
  /** How a client on this machine comes by credentials; null where TLS is off. */
  readonly forClients: UriTls | null;
}

const WITHOUT_TLS: TlsSettings = { policy: NO_TLS, onlyExports: [], forClients: null };

/** Of a file, bits of its mode for others than its owner, and for others than its group too. */
const MODE_OF_OTHERS = 0o077;
const MODE_OF_WORLD = 0o007;
const CERTIFICATE_FILES = ['server-cert.pem', 'server-key.pem', 'ca-cert.pem', 'ca-crl.pem'];
const PSK_BYTES_MIN = 16;
const PSK_BYTES_MAX = 64;
const PSK_USER_BYTES_MAX = 128;

/** `log` is told when files were renewed. @throws UserError naming the option or the file. */
export function planTls(words: TlsWords, log: Logger = silentLogger): TlsSettings {
  const { tlsCertificates: directory, tlsPsk: pskFile, tlsOnly: onlyExports = [] } = words;
  const mode = parseMode(words);
  if (mode === 'off') {
    const useless = TLS_WORDS.find((name) => isGiven(words[name]));
    if (useless === undefined) return WITHOUT_TLS;
    throw badTls(`${optionOf(useless)} is given, but TLS is off: must be on or required`);
  }
  if (directory !== undefined && pskFile !== undefined) {
    throw badTls('--tls-certificates and --tls-psk are given, only one of them is allowed');
  }
  if (onlyExports.length > 0 && mode === 'require') {
    throw badTls('--tls-only is given, but TLS is required for all exports: --tls must be on');
  }
  if (directory !== undefined) {
    const files = CERTIFICATE_FILES.map((name) => join(directory, name));
    const load = () => upgradeOf(readCertificates(directory, words), directory);
    const policy = { mode, upgrade: new RenewedTls({ files, load, log }) };
    return { policy, onlyExports, forClients: { certificates: resolve(directory) } };
  }
  if (pskFile === undefined) {
    throw badTls(`--tls is "${mode}", but there are no credentials`, {
      hint: 'Give a folder with --tls-certificates, or a file with --tls-psk.',
    });
  }
  for (const name of ['tlsVerifyPeer', 'tlsAuthorize'] as const) {
    if (isGiven(words[name])) throw badTls(`${optionOf(name)} needs certificates, not --tls-psk`);
  }
  const [user] = readKeys(pskFile).keys.keys();
  const load = () => upgradeOf(readKeys(pskFile), pskFile);
  const policy = { mode, upgrade: new RenewedTls({ files: [pskFile], load, log }) };
  return { policy, onlyExports, forClients: { user: user!, pskFile: resolve(pskFile) } };
}

function isGiven(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
}

/** `tlsVerifyPeer` is `--tls-verify-peer`. */
function optionOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Who gives credentials wants them to be used. */
function parseMode({ tls, tlsCertificates, tlsPsk }: TlsWords): TlsMode {
  const isCertain = tlsCertificates !== undefined || tlsPsk !== undefined;
  const word = tls ?? (isCertain ? 'require' : 'off');
  const mode = TLS_MODES.find((one) => one === word);
  if (mode !== undefined) return mode;
  throw badTls(`--tls is "${printable(word)}", must be one of ${TLS_MODES.join(', ')}`);
}

function upgradeOf(credentials: TlsCredentials, place: string): TlsUpgrade {
  try {
    return createServerUpgrade(credentials);
  } catch (error) {
    throw badFile(place, printable((error as Error).message, 200), error);
  }
}

function readCertificates(directory: string, words: TlsWords): X509Credentials {
  const at = (name: string): string => join(directory, name);
  const certificate = readText(at('server-cert.pem'));
  const key = readText(at('server-key.pem'), MODE_OF_WORLD);
  const authorizedSubjects = words.tlsAuthorize ?? [];
  const verifyPeer = (words.tlsVerifyPeer ?? false) || authorizedSubjects.length > 0;
  const authority = verifyPeer ? readText(at('ca-cert.pem')) : null;
  const hasRevoked = verifyPeer && existsSync(at('ca-crl.pem'));
  const revoked = hasRevoked ? readText(at('ca-crl.pem')) : null;
  const parsed = parsePem(at('server-cert.pem'), () => new X509Certificate(certificate));
  const privateKey = parsePem(at('server-key.pem'), () => createPrivateKey(key));
  if (!parsed.checkPrivateKey(privateKey)) {
    throw badFile(at('server-key.pem'), 'it does not belong to server-cert.pem, must be its key');
  }
  if (authority !== null) parsePem(at('ca-cert.pem'), () => new X509Certificate(authority));
  return {
    kind: 'x509',
    ...{ certificate, key, authority, revoked, verifyPeer, authorizedSubjects },
  };
}

function parsePem<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw badFile(path, 'it holds nothing of use, must be PEM', error);
  }
}

/** Lines are `user:key`, the key in hexadecimal digits. What is wrong is told without the key. */
function readKeys(path: string): PskCredentials {
  const keys = new Map<string, Buffer>();
  const lines = readText(path, MODE_OF_OTHERS).split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const where = `line ${index + 1}`;
    const [, user = '', hex = ''] = /^([^:]+):((?:[0-9a-fA-F]{2})+)$/.exec(line) ?? [];
    if (user === '') throw badFile(path, `${where} is not USER:KEY, with a hexadecimal key`);
    const size = Buffer.byteLength(user);
    if (size > PSK_USER_BYTES_MAX) {
      const most = PSK_USER_BYTES_MAX;
      throw badFile(path, `${where}: user has ${size} bytes, must have at most ${most}`);
    }
    const key = Buffer.from(hex, 'hex');
    if (key.length < PSK_BYTES_MIN || key.length > PSK_BYTES_MAX) {
      const range = `must have ${PSK_BYTES_MIN} to ${PSK_BYTES_MAX}`;
      throw badFile(path, `${where}: key has ${key.length} bytes, ${range}`);
    }
    if (keys.has(user)) {
      throw badFile(path, `${where}: user "${printable(user)}" is there twice, must be once`);
    }
    keys.set(user, key);
  }
  if (keys.size === 0) throw badFile(path, 'it holds no key, must have lines USER:KEY');
  return { kind: 'psk', keys };
}

/** `closedTo`: mode bits that the file must not have. */
function readText(path: string, closedTo = 0): string {
  let mode: number;
  let text: string;
  try {
    const fd = openSync(path, 'r');
    try {
      mode = fstatSync(fd).mode;
      text = readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw badFile(path, errnoName(errnoOfError(error)), error);
  }
  if ((mode & closedTo) === 0) return text;
  const octal = (mode & 0o777).toString(8);
  throw badFile(
    path,
    `its mode is ${octal}, must be ${closedTo === MODE_OF_WORLD ? '640' : '600'}`,
  );
}

function badTls(problem: string, options: { readonly hint?: string } = {}): UserError {
  return new UserError('bad-tls', `Cannot serve: ${problem}`, options);
}

function badFile(path: string, problem: string, cause?: unknown): UserError {
  const message = `Cannot use "${printable(path, 200)}" for TLS: ${problem}`;
  return new UserError('tls-file', message, cause === undefined ? {} : { cause });
}
