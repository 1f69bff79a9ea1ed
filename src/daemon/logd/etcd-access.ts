/** How etcd is reached, from what was said on the command line: members, certificates, a user. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, rootCertificates } from 'node:tls';
import { errnoName, errnoOfError } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { printable, quoted } from '../../base/printable.ts';
import type { EtcdCertificates } from '../../cluster/etcd-engine.ts';
import type { EtcdUser } from '../../cluster/etcd-login.ts';
import { badOption } from './bad-option.ts';

/** Names and meanings are those of `etcdctl`, behind `etcd`. */
export interface EtcdOptions {
  readonly etcd?: string;
  readonly etcdCacert?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  readonly etcdUser?: string;
}

export interface EtcdAccess {
  readonly hosts: readonly string[];
  /** Null without TLS. */
  readonly certificates: EtcdCertificates | null;
  readonly user: EtcdUser | null;
}

/** Where the password is taken from that does not stand behind the name. */
const PASSWORD_VARIABLE = 'NBD_MIRROR_ETCD_PASSWORD';

/** @throws UserError naming the option, or the file. */
export function planEtcd(
  etcd: string,
  options: EtcdOptions,
  environment: NodeJS.ProcessEnv,
): EtcdAccess {
  const { etcdCacert, etcdCert, etcdKey, etcdUser } = options;
  const hosts = etcd.split(',').map(parseHost);
  const secure = hosts.filter((host) => host.startsWith('https:'));
  if (secure.length !== 0 && secure.length !== hosts.length) {
    throw badOption('--etcd has http and https, must be one of them for all members');
  }
  const isSecure = secure.length > 0;
  if (!isSecure && (etcdCacert ?? etcdCert ?? etcdKey) !== undefined) {
    throw badOption('certificates for etcd are given, and --etcd has no https://HOST:PORT');
  }
  if ((etcdCert === undefined) !== (etcdKey === undefined)) {
    throw badOption('--etcd-cert and --etcd-key must be given together');
  }
  const authority =
    etcdCacert === undefined
      ? Buffer.from(rootCertificates.join('\n'))
      : readPem(etcdCacert, isCertificate);
  const own = etcdCert === undefined ? null : readOwn(etcdCert, etcdKey!);
  const user = etcdUser === undefined ? null : parseUser(etcdUser, environment);
  return { hosts, certificates: isSecure ? { authority, own } : null, user };
}

function parseHost(text: string): string {
  const match = /^(https?:\/\/)?([^/:\s]+|\[[^\]\s]+\]):([0-9]{1,5})\/?$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) {
    throw badOption(
      `--etcd has ${quoted(text)}, must be http://HOST:PORT or https://HOST:PORT, ` +
        'with commas between',
    );
  }
  return `${match[1] ?? 'http://'}${match[2]}:${match[3]}`;
}

/** `NAME:PASSWORD`, or a name alone. What is said of it never has the password. */
function parseUser(text: string, environment: NodeJS.ProcessEnv): EtcdUser {
  const colon = text.indexOf(':');
  const name = colon === -1 ? text : text.slice(0, colon);
  const password = colon === -1 ? environment[PASSWORD_VARIABLE] : text.slice(colon + 1);
  if (name === '') throw badOption('--etcd-user has no name, must be NAME or NAME:PASSWORD');
  if (password === undefined || password === '') {
    throw badOption(
      `--etcd-user has no password for ${quoted(name)}, must be NAME:PASSWORD, ` +
        `or the password must be in ${PASSWORD_VARIABLE}`,
    );
  }
  return { name, password };
}

function readOwn(certificatePath: string, keyPath: string): EtcdCertificates['own'] {
  const certificate = readPem(certificatePath, isCertificate);
  const key = readPem(keyPath, isKey);
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    const reason = printable((error as Error).message, 200);
    throw badFile(keyPath, `it does not belong to "${printable(certificatePath, 200)}": ${reason}`);
  }
  return { certificate, key };
}

/** `check` throws for what it is not. */
function readPem(path: string, check: (pem: Buffer) => void): Buffer {
  let pem: Buffer;
  try {
    pem = readFileSync(path);
  } catch (error) {
    throw badFile(path, errnoName(errnoOfError(error)));
  }
  try {
    check(pem);
  } catch {
    throw badFile(path, `it holds no ${check === isKey ? 'private key' : 'certificate'} in PEM`);
  }
  return pem;
}

function isCertificate(pem: Buffer): void {
  new X509Certificate(pem);
}

function isKey(pem: Buffer): void {
  createPrivateKey(pem);
}

function badFile(path: string, problem: string): UserError {
  return new UserError(
    'bad-credentials',
    `Cannot use "${printable(path, 200)}" for etcd: ${problem}`,
  );
}
