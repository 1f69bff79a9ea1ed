/** Other people's clients over TLS: they get in and work, or do not and say why. */

import { randomBytes } from 'node:crypto';
import { copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { makeCertificates } from '../support/certificates.ts';
import { type RunningCommand, runCommand, startCommand } from '../support/command.ts';
import { mustRun, runProgram } from '../support/run-program.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

const SIZE = 16 * 2 ** 20;
const CREDENTIALS = ['certificates', 'keys'] as const;

interface Served {
  readonly cwd: string;
  readonly server: RunningCommand;
  readonly socket: string;
  readonly port: number;
  /** As the server prints them. */
  readonly uris: readonly string[];
}

async function serve(t: Test, ...words: string[]): Promise<Served> {
  const cwd = tempDir(t);
  const mirror = ['--create', '--size', '16M', '--leg', 'a.img', '--leg', 'b.img', '--nosync'];
  const places = ['--socket', 'm.sock', '--listen', '127.0.0.1:0'];
  const server = startCommand(t, ['serve', ...mirror, ...places, ...words], { cwd });
  await server.says(/attach/);
  const uris = [...server.stdout.matchAll(/^ready: (.*)$/gm)].map((match) => match[1]!);
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(server.stdout)![1]);
  return { cwd, server, socket: join(cwd, 'm.sock'), port, uris };
}

function wordsFor(kind: (typeof CREDENTIALS)[number], pki: string): string[] {
  if (kind === 'keys') return ['--tls-psk', join(pki, 'keys.psk')];
  return ['--tls-certificates', pki, '--tls-verify-peer'];
}

/** Both clients of qemu: its object, and how it reaches the server. */
function qemuWords(kind: (typeof CREDENTIALS)[number], pki: string, place: string): string[] {
  const common = 'id=t,endpoint=client';
  const object =
    kind === 'keys'
      ? `tls-creds-psk,${common},dir=${pki},username=alice`
      : `tls-creds-x509,${common},dir=${pki}`;
  return ['--object', object, '--image-opts', `driver=nbd,${place},tls-creds=t`];
}

for (const kind of CREDENTIALS) {
  t.test(`nbdinfo, nbdcopy and nbdsh with ${kind}, by the URIs that are printed`, async (t) => {
    if (!requireTool(t, 'nbdinfo', 'nbdcopy', 'nbdsh')) return;
    const pki = await makeCertificates(t);
    if (pki === null) return;
    const { cwd, server, uris } = await serve(t, ...wordsFor(kind, pki));
    t.equal(uris.length, 2);
    for (const uri of uris) {
      t.match(uri, /^nbds/);
      const info = JSON.parse(await mustRun(['nbdinfo', '--json', uri]));
      t.match(info, { TLS: true, protocol: 'newstyle-fixed', exports: [{ 'export-size': SIZE }] });
      t.match(await mustRun(['nbdinfo', '--list', uri]), /export="":/);
      const [source, target] = [join(cwd, 'in.raw'), join(cwd, 'out.raw')];
      const image = randomBytes(SIZE);
      writeFileSync(source, image);
      await mustRun(['nbdcopy', '--flush', '--connections=4', source, uri]);
      await mustRun(['nbdcopy', '--connections=4', uri, target]);
      t.ok(readFileSync(target).equals(image), 'what came out is what went in');
      t.ok(readFileSync(join(cwd, 'b.img')).equals(image));
      const script = [
        'h.set_uri_allow_local_file(True)',
        `h.connect_uri(${JSON.stringify(uri)})`,
        'h.pwrite(b"x" * 5000, 123)',
        'assert h.pread(5000, 123) == b"x" * 5000',
        'assert h.get_tls_negotiated()',
        'h.shutdown()',
      ];
      await mustRun(['/usr/bin/python3', '-m', 'nbd', ...script.flatMap((line) => ['-c', line])]);
    }
    t.match(await server.stop(), { status: 0 });
    t.notMatch(server.stderr, /TLS failed/);
  });

  t.test(`qemu-io and qemu-img with ${kind}`, async (t) => {
    if (!requireTool(t, 'qemu-io', 'qemu-img')) return;
    const pki = await makeCertificates(t);
    if (pki === null) return;
    const { server, socket, port } = await serve(t, ...wordsFor(kind, pki));
    for (const place of [
      `server.type=unix,server.path=${socket},tls-hostname=localhost`,
      `host=127.0.0.1,port=${port}`,
    ]) {
      const words = qemuWords(kind, pki, place);
      const steps = ['write -P 0xa1 0 4M', 'read -P 0xa1 0 4M', 'write -P 7 12345 777', 'flush'];
      const output = await mustRun(['qemu-io', ...steps.flatMap((one) => ['-c', one]), ...words]);
      t.notMatch(output, /verification failed|error/i);
      t.match(await mustRun(['qemu-img', 'info', ...words]), /16 MiB/);
    }
    t.match(await server.stop(), { status: 0 });
  });
}

t.test('nbd-client lists the exports with certificates', async (t) => {
  if (!requireTool(t, 'nbd-client')) return;
  const pki = await makeCertificates(t);
  if (pki === null) return;
  const { server, port } = await serve(t, ...wordsFor('certificates', pki), '--name', 'data');
  const list = ['nbd-client', '-l', '127.0.0.1', `${port}`];
  const keys = ['-certfile', `${pki}/client-cert.pem`, '-keyfile', `${pki}/client-key.pem`];
  const trust = ['-cacertfile', `${pki}/ca-cert.pem`, '-tlshostname', 'localhost'];
  t.match(await mustRun([...list, ...keys, ...trust]), /^data: mirror of a.img, b.img/m);
  const plain = await runProgram(list);
  t.notMatch(plain.stdout, /data: mirror/);
  t.match(await server.stop(), { status: 0 });
});

t.test('clients that may not get in are told so, and others work on', async (t) => {
  if (!requireTool(t, 'nbdinfo', 'nbdsh')) return;
  const pki = await makeCertificates(t);
  if (pki === null) return;
  const words = ['--tls-certificates', pki, '--tls-authorize', 'CN=alice,*'];
  const certified = await serve(t, ...words);
  const keyed = await serve(t, ...wordsFor('keys', pki));
  const plain = await serve(t);
  const folder = (uri: string, name: string): string =>
    uri.replace(/tls-certificates=.*/, `tls-certificates=${pki}/${name}`);
  const [uri] = certified.uris as [string];
  const [keyUri] = keyed.uris as [string];
  for (const [what, wrong] of [
    ['expired', folder(uri, 'expired')],
    ['revoked', folder(uri, 'revoked')],
    ['not authorised', folder(uri, 'mallory')],
    ['without a certificate', folder(uri, 'none')],
    ['of another authority', folder(uri, 'stranger')],
    ['in the clear', uri.replace('nbds', 'nbd').replace(/&tls.*/, '')],
    ['wrong key', keyUri.replace('keys.psk', 'wrong-psk/keys.psk')],
    ['unknown user', keyUri.replace('alice@', 'mallory@').replace('keys', 'unknown-user/keys')],
    ['a key for certificates', uri.replace(/tls-.*/, `tls-psk-file=${pki}/keys.psk`)],
    ['TLS to a server without', `${plain.uris[0]!.replace('nbd', 'nbds')}&tls-certificates=${pki}`],
  ] as const) {
    const { status, stderr } = await runProgram(['nbdinfo', '--size', wrong]);
    t.equal(status, 1, what);
    t.not(stderr, '', what);
  }
  for (const good of [uri, keyUri, plain.uris[0]!]) {
    t.equal((await mustRun(['nbdinfo', '--size', good])).trim(), `${SIZE}`);
  }
  await waitUntil('the log', () => /TLS failed.*reason/.test(certified.server.stderr));
  t.match(keyed.server.stderr, /TLS failed .*reason=.*(binder|unknown)/);
  for (const { server } of [certified, keyed, plain]) t.match(await server.stop(), { status: 0 });
});

t.test('certificates are renewed while it runs', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const [pki, renewed] = [await makeCertificates(t), await makeCertificates(t)];
  if (pki === null || renewed === null) return;
  const old = tempDir(t);
  cpSync(pki, old, { recursive: true });
  const { server, socket } = await serve(t, '--tls-certificates', pki, '--tls-verify-peer');
  const isWelcome = async (folder: string): Promise<boolean> => {
    const uri = `nbds+unix:///?socket=${socket}&tls-certificates=${folder}&tls-hostname=localhost`;
    return (await runProgram(['nbdinfo', '--size', uri])).status === 0;
  };
  t.same([await isWelcome(old), await isWelcome(renewed)], [true, false]);
  for (const name of ['ca-cert.pem', 'ca-crl.pem', 'server-cert.pem']) {
    copyFileSync(join(renewed, name), join(pki, name));
  }
  t.ok(await isWelcome(old), 'certificate and key do not fit together: the old ones go on');
  t.match(server.stderr, /goes on with the credentials of before: .*does not belong to/);
  copyFileSync(join(renewed, 'server-key.pem'), join(pki, 'server-key.pem'));
  t.same([await isWelcome(old), await isWelcome(renewed)], [false, true]);
});

t.test('TLS on: the client chooses, but for exports that need it', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const pki = await makeCertificates(t);
  if (pki === null) return;
  const cwd = tempDir(t);
  const options = { cwd, env: { XDG_RUNTIME_DIR: cwd } };
  const words = ['serve', '--control', '--socket', 'm.sock', '--tls', 'on', '--tls-only', 'secret'];
  const server = startCommand(t, [...words, '--tls-certificates', pki], options);
  await server.says(/^ready: nbd\+/m);
  for (const name of ['open', 'secret']) {
    const made = await runCommand(['create', name, '--table', '0 2048 zero'], options);
    t.match(made, { status: 0 });
  }
  const place = `socket=${cwd}/m.sock`;
  const tls = `${place}&tls-certificates=${pki}`;
  t.equal((await mustRun(['nbdinfo', '--size', `nbd+unix:///open?${place}`])).trim(), '1048576');
  t.equal((await mustRun(['nbdinfo', '--size', `nbds+unix:///open?${tls}`])).trim(), '1048576');
  t.equal((await mustRun(['nbdinfo', '--size', `nbds+unix:///secret?${tls}`])).trim(), '1048576');
  const refused = await runProgram(['nbdinfo', '--size', `nbd+unix:///secret?${place}`]);
  t.match(refused, { status: 1, stderr: /TLS/ });
  t.notMatch(await mustRun(['nbdinfo', '--list', `nbd+unix:///?${place}`]), /secret/);
  t.match(await mustRun(['nbdinfo', '--list', `nbds+unix:///?${tls}`]), /secret/);
  t.match(await server.stop(), { status: 0 });
});

t.test('serve --run hands on a URI with credentials', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const pki = await makeCertificates(t);
  if (pki === null) return;
  const cwd = tempDir(t);
  const mirror = ['--leg', 'memory:a,size=1M', '--leg', 'memory:b,size=1M'];
  const run = ['--run', 'nbdinfo --size "$uri"; echo tls=$tls'];
  const words = ['serve', ...mirror, '--tls-psk', join(pki, 'keys.psk'), ...run];
  t.match(await runCommand(words, { cwd }), { status: 0, stdout: '1048576\ntls=2\n' });
});
