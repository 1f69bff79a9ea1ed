import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { planTls } from '../../../src/daemon/tls/tls-settings.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';

t.test('planTls() understands what fits together', async (t) => {
  const pki = await makeCertificates(t);
  if (pki === null) return;
  t.equal(planTls({}).policy.mode, 'off');
  t.equal(planTls({ tls: 'off' }).forClients, null);
  const certified = planTls({ tlsCertificates: pki, tlsVerifyPeer: true });
  t.equal(certified.policy.mode, 'require', 'who gives credentials wants them to be used');
  t.strictSame(certified.forClients, { certificates: pki });
  const keyed = planTls({ tls: 'on', tlsPsk: join(pki, 'keys.psk'), tlsOnly: ['secret'] });
  t.equal(keyed.policy.mode, 'on');
  t.strictSame(keyed.onlyExports, ['secret']);
  t.strictSame(keyed.forClients, { user: 'alice', pskFile: join(pki, 'keys.psk') });
  for (const [words, message] of [
    [{ tls: 'require', tlsPsk: join(pki, 'keys.psk'), tlsOnly: ['x'] }, /--tls must be on/],
    [{ tlsPsk: join(pki, 'keys.psk'), tlsVerifyPeer: true }, /--tls-verify-peer needs cert/],
    [{ tlsPsk: join(pki, 'keys.psk'), tlsAuthorize: ['*'] }, /--tls-authorize needs cert/],
  ] as const) {
    t.throws(() => planTls(words), { name: 'UserError', code: 'bad-tls', message });
  }
});

t.test('planTls() says what is wrong with certificates', async (t) => {
  const pki = await makeCertificates(t);
  if (pki === null) return;
  const folder = tempDir(t);
  const put = (from: string, to: string): void => copyFileSync(join(pki, from), join(folder, to));
  const plan = (verify = false) => planTls({ tlsCertificates: folder, tlsVerifyPeer: verify });
  const bad = { name: 'UserError', code: 'tls-file' };
  put('server-cert.pem', 'server-cert.pem');
  t.throws(() => plan(), { ...bad, message: /server-key.pem" for TLS: ENOENT/ });
  put('client-key.pem', 'server-key.pem');
  t.throws(() => plan(), { ...bad, message: /does not belong to server-cert.pem/ });
  put('server-key.pem', 'server-key.pem');
  t.doesNotThrow(() => plan());
  t.throws(() => plan(true), { ...bad, message: /ca-cert.pem" for TLS: ENOENT/ });
  put('server-key.pem', 'ca-cert.pem');
  t.throws(() => plan(true), { ...bad, message: /ca-cert.pem" for TLS: it holds nothing of use/ });
  put('ca-cert.pem', 'ca-cert.pem');
  writeFileSync(join(folder, 'ca-crl.pem'), 'garbage');
  t.throws(() => plan(true), { ...bad, message: /CRL|crl/ });
  put('ca-crl.pem', 'ca-crl.pem');
  t.doesNotThrow(() => plan(true));
  chmodSync(join(folder, 'server-key.pem'), 0o644);
  t.throws(() => plan(), {
    ...bad,
    message: /server-key.pem" for TLS: its mode is 644, must be 640/,
  });
});

t.test('planTls() says what is wrong with a file of keys, and not the key', async (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'keys.psk');
  const key = '00112233445566778899aabbccddeeff';
  const plan = (text: string) => {
    writeFileSync(path, text, { mode: 0o600 });
    return planTls({ tlsPsk: path });
  };
  t.doesNotThrow(() => plan(`# users\n\nalice:${key}\r\nbob:${key}${key}\n`));
  for (const [text, problem] of [
    ['', 'it holds no key'],
    [`alice ${key}`, 'line 1 is not USER:KEY'],
    [`:${key}`, 'line 1 is not USER:KEY'],
    [`a:${key}\nb:${key}f`, 'line 2 is not USER:KEY'],
    [`a:${key}x0`, 'line 1 is not USER:KEY'],
    ['alice:001122', 'line 1: key has 3 bytes, must have 16 to 64'],
    [`alice:${key.repeat(5)}`, 'line 1: key has 80 bytes'],
    [`${'x'.repeat(200)}:${key}`, 'line 1: user has 200 bytes, must have at most 128'],
    [`alice:${key}\nalice:${key}`, 'line 2: user "alice" is there twice'],
  ] as const) {
    try {
      plan(text);
      t.fail(text);
    } catch (error) {
      t.match(error, { code: 'tls-file', message: problem });
      t.notMatch((error as Error).message, key);
    }
  }
  plan(`alice:${key}`);
  for (const mode of [0o640, 0o604]) {
    chmodSync(path, mode);
    t.throws(() => planTls({ tlsPsk: path }), { code: 'tls-file', message: /must be 600/ });
  }
  mkdirSync(join(folder, 'd'));
  t.throws(() => planTls({ tlsPsk: join(folder, 'd') }), { code: 'tls-file', message: /EISDIR/ });
});
