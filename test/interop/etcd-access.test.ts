/** An etcd that wants TLS, certificates and a user: what a real one has. */

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import type { Engine, WatchListener } from '../../src/cluster/engine.ts';
import { connectEtcd } from '../../src/cluster/etcd-engine.ts';
import { planEtcd } from '../../src/daemon/logd/etcd-access.ts';
import { SystemClock } from '../../src/daemon/system-clock.ts';
import { makeCertificates } from '../support/certificates.ts';
import { runCommand, startCommand } from '../support/command.ts';
import { type EtcdMember, startEtcd } from '../support/etcd.ts';
import { mustRun } from '../support/run-program.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

// gRPC names a server by its address; `logd` does not let Node warn of that, either.
process.noDeprecation = true;

const PASSWORD = 'a:b c';
const USER = `nbd:${PASSWORD}`;
const KEY = 'nbd-mirror/x';

class SecureEtcd {
  readonly certificates: string;
  readonly member: EtcdMember;

  constructor(certificates: string, member: EtcdMember) {
    this.certificates = certificates;
    this.member = member;
  }

  /** Null where a tool is missing. */
  static async start(t: Test): Promise<SecureEtcd | null> {
    if (!requireTool(t, 'etcd') || !requireTool(t, 'etcdctl')) return null;
    const certificates = await makeCertificates(t);
    if (certificates === null) return null;
    // Tokens that end whenever a user changes. Passwords are cheap to check.
    const key = join(certificates, 'server-key.pem');
    const publicKey = join(certificates, 'token.pem');
    await mustRun(['openssl', 'pkey', '-in', key, '-pubout', '-out', publicKey]);
    const jwt = `jwt,pub-key=${publicKey},priv-key=${key},sign-method=ES256,ttl=30s`;
    const args = ['--auth-token', jwt, '--bcrypt-cost', '4'];
    const [member] = await startEtcd(t, tempDir(t), { certificates, args });
    const etcd = new SecureEtcd(certificates, member!);
    await etcd.ctl('user', 'add', 'root:secret');
    await etcd.ctl('user', 'grant-role', 'root', 'root');
    await etcd.ctl('role', 'add', 'mirrors');
    await etcd.ctl('role', 'grant-permission', 'mirrors', 'readwrite', '--prefix', 'nbd-mirror/');
    await etcd.ctl('user', 'add', USER);
    await etcd.ctl('user', 'grant-role', 'nbd', 'mirrors');
    await etcd.ctl('auth', 'enable');
    return etcd;
  }

  async ctl(...words: string[]): Promise<void> {
    const options = ['--cacert', this.#file('ca-cert.pem'), ...this.#own('--')];
    const command = ['etcdctl', '--endpoints', this.member.url, '--user', 'root:secret'];
    await mustRun(['env', 'ETCDCTL_API=3', ...command, ...options, ...words]);
  }

  /** What `logd` is told, of which some may be wrong. */
  words(change: { authority?: string; user?: string | null; own?: boolean } = {}): string[] {
    const authority = this.#file(change.authority ?? 'ca-cert.pem');
    const { user = USER } = change;
    return [
      ...['--socket', 'l', '--node', 'a', '--lease', '10'],
      ...['--etcd', this.member.url, '--etcd-cacert', authority],
      ...(change.own === false ? [] : this.#own('--etcd-')),
      ...(user === null ? [] : ['--etcd-user', user]),
    ];
  }

  async connect(t: Test): Promise<Engine> {
    const [etcdCacert, etcdCert, etcdKey] = ['ca-cert', 'client-cert', 'client-key'].map((name) =>
      this.#file(`${name}.pem`),
    ) as [string, string, string];
    const files = { etcdCacert, etcdCert, etcdKey, etcdUser: 'nbd' };
    const environment = { NBD_MIRROR_ETCD_PASSWORD: PASSWORD };
    const engine = await connectEtcd({
      ...planEtcd(this.member.url, files, environment),
      ...{ clock: new SystemClock(), log: silentLogger, deadlineMs: 30_000 },
    });
    t.teardown(() => engine.close());
    return engine;
  }

  #file(name: string): string {
    return join(this.certificates, name);
  }

  #own(prefix: string): string[] {
    const [certificate, key] = ['client-cert.pem', 'client-key.pem'].map((name) =>
      this.#file(name),
    ) as [string, string];
    return [`${prefix}cert`, certificate, `${prefix}key`, key];
  }
}

t.test('an etcd with TLS, certificates and users', async (t) => {
  const etcd = await SecureEtcd.start(t);
  if (etcd === null) return;
  await t.test('right options, and wrong ones', (t) => tryOptions(t, etcd));
  await t.test('users change, etcd starts anew: a node logs in again', (t) =>
    outliveTokens(t, etcd),
  );
});

async function tryOptions(t: Test, etcd: SecureEtcd): Promise<void> {
  const cwd = tempDir(t);
  const logd = startCommand(t, ['logd', ...etcd.words()], { cwd });
  await logd.says(/^ready:/m);
  const shown = await runCommand(['logd', 'status', '--socket', 'l'], { cwd });
  t.match(shown.stdout, /node +a, lease good for/);
  t.ok(shown.stdout.includes(etcd.member.url));
  t.notOk(`${shown.stdout}${logd.stderr}`.includes(PASSWORD), 'the password is nowhere shown');
  t.equal((await logd.stop()).status, 0);

  const wrong = await runCommand(['logd', ...etcd.words({ user: 'nbd:wrong' })], { cwd });
  t.equal(wrong.status, 2);
  t.match(wrong.stderr, /^nbd-mirror: Cannot .*authentication failed/m);
  const cases: [Parameters<SecureEtcd['words']>[0], RegExp][] = [
    [{ authority: 'stranger/ca-cert.pem' }, /unable to verify|self-signed|certificate/],
    [{ own: false }, /certificate/],
    [{ user: null }, /permission denied/],
  ];
  const tries = cases.map(async ([change, says]) => {
    // It may be one member of many, and is tried again for a while.
    const refused = startCommand(t, ['logd', ...etcd.words(change)], { cwd });
    await waitUntil('it says why', () => says.test(refused.stderr));
    const { status } = await refused.stop();
    t.equal(status, 2);
    t.match(refused.stderr, /Cannot take node name "a"/);
  });
  await Promise.all(tries);
}

async function outliveTokens(t: Test, etcd: SecureEtcd): Promise<void> {
  const engine = await etcd.connect(t);
  const lease = await engine.grant(600_000);
  t.not(lease, null);
  let revision = (await engine.read(KEY))!.revision;
  const follow = new Follower(engine, revision);
  t.teardown(() => follow.close());
  const put = async (text: string): Promise<void> => {
    const puts = [{ key: KEY, value: Buffer.from(text), lease: lease! }];
    await waitUntil(`"${text}" is stored`, async () => {
      const outcome = await engine.commit({ compares: new Map(), puts, deletes: [] });
      if (outcome.kind === 'done') revision = outcome.revision;
      return outcome.kind === 'done';
    });
    await waitUntil(`"${text}" is seen`, () => follow.seen.includes(text));
  };
  await put('first');
  await etcd.ctl('user', 'add', 'somebody:else');
  await put('after a change of users');
  await waitUntil('the lease is kept', async () => (await engine.keepAlive(lease!)) === 'alive');
  await etcd.member.kill();
  etcd.member.start();
  await waitUntil('it is there', () => etcd.member.isHealthy());
  await put('after a start');
  await waitUntil('the lease is kept', async () => (await engine.keepAlive(lease!)) === 'alive');
}

/** As whoever follows a log: after each end of a watch all is read, and watched from there. */
class Follower implements WatchListener {
  readonly seen: string[] = [];
  readonly #engine: Engine;
  #watch: ReturnType<Engine['watch']>;
  #isClosed = false;

  constructor(engine: Engine, revision: number) {
    this.#engine = engine;
    this.#watch = engine.watch(KEY, revision, this);
  }

  changed(changes: Parameters<WatchListener['changed']>[0]): void {
    for (const { value } of changes.values()) {
      if (value !== null) this.seen.push(Buffer.from(value).toString());
    }
  }

  async lost(): Promise<void> {
    const snapshot = await this.#engine.read(KEY);
    if (this.#isClosed) return;
    if (snapshot === null) return this.lost();
    this.changed(snapshot.entries);
    this.#watch = this.#engine.watch(KEY, snapshot.revision, this);
  }

  close(): void {
    this.#isClosed = true;
    this.#watch.close();
  }
}
