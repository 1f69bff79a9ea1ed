import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { formatSubject, matchesSubject } from '../../src/nbd/subject-pattern.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';

t.test('matchesSubject() compares part by part', async (t) => {
  const alice = 'C=GB\nO=Example\nCN=alice';
  for (const [pattern, subject, expected] of [
    ['CN=alice,O=Example,C=GB', alice, true],
    ['CN=alice, O=Example, C=GB', alice, true],
    ['CN=alice', alice, false],
    ['CN=alice,*', alice, true],
    ['CN=al*e,O=E?ample,C=??', alice, true],
    ['CN=al?e,*', alice, false],
    ['*,O=Example,*', alice, true],
    ['*,O=Example', alice, false],
    ['*', alice, true],
    ['*', '', true],
    ['', alice, false],
    ['', '', true],
    ['CN=*,O=Example', 'CN=mallory\\,O=Example', false],
    ['CN=*,O=Example', 'O=Example\nCN=a\\,b', true],
    ['CN=a\\,b,*', 'O=Example\nCN=a\\,b', true],
    ['CN=a?b', 'CN=a\\,b', true],
    ['CN=\\*', 'CN=*', true],
    ['CN=\\*', 'CN=x', false],
    ['CN=a.c', 'CN=abc', false],
    ['CN=a+OU=b', 'CN=a + OU=b', true],
  ] as const) {
    t.equal(matchesSubject(pattern, subject), expected, `${pattern} against ${subject}`);
  }
});

t.test('formatSubject() agrees with openssl', async (t) => {
  if (!requireTool(t, 'openssl')) return;
  const directory = tempDir(t);
  const file = join(directory, 'cert.pem');
  for (const subject of ['/C=GB/O=Example/CN=alice', '/O=a,b+c/CN=#x;y"z ', '/O=q=r/CN=Zoë']) {
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-utf8', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
        ...['-nodes', '-keyout', '/dev/null', '-out', file, '-subj', subject],
      ],
      { stdio: 'ignore' },
    );
    const options = ['-nameopt', 'RFC2253,-esc_msb,utf8'];
    const printed = execFileSync(
      'openssl',
      ['x509', '-noout', '-subject', ...options, '-in', file],
      { encoding: 'utf8' },
    );
    const ours = formatSubject(new X509Certificate(readFileSync(file)).subject);
    t.equal(`subject=${ours}`, printed.replace(/\n$/, ''));
    t.ok(matchesSubject(ours, new X509Certificate(readFileSync(file)).subject));
  }
});
