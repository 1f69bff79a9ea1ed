/**
 * A real kernel attaches the mirror by nbd-client, and a file system lives on it: over TCP and a
 * unix socket, with one and with four connections, and through the sudden death of the server.
 */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { makeCertificates } from '../support/certificates.ts';
import { byEffort } from '../support/effort.ts';
import { Guest, requireKernelVm, runGuest } from '../support/kernel-vm.ts';
import { KIB, MIB, MirrorFiles } from '../support/mirror-files.ts';
import { waitUntil } from '../support/wait-until.ts';

const SIZE = 128 * MIB;
/** Software emulation on busy cores is slow. */
const GUEST_TIMEOUT_S = 300;

/** Guest functions: where the server is, and how to come to it and go. */
const ATTACHING = `
device=/dev/nbd0
attach() { # HOW CONNECTIONS
  if [[ $1 == tcp ]]; then nbd-client -C "$2" "$NBD_HOST" "$NBD_PORT" $device -N ''
  else nbd-client -C "$2" -unix "$NBD_SOCKET" $device -N ''; fi
}
detach() {
  nbd-client -d $device
  while nbd-client -c $device >/dev/null; do sleep 0.1; done
}`;

const USE = `${ATTACHING}
for connections in 1 4; do
  attach "$1" $connections
  echo "size $(blockdev --getsize64 $device) read-only $(blockdev --getro $device)" \\
    "cache $(cat /sys/block/nbd0/queue/write_cache)"
  mkfs.ext4 -qF $device
  mount $device /mnt
  dd if=/dev/urandom of=/mnt/file bs=1M count=12 conv=fsync status=none
  for i in {1..40}; do echo "file $i" >/mnt/$i; done
  sync
  (cd /mnt && sha256sum [0-9]* file) >/tmp/sums
  fstrim /mnt
  umount /mnt
  detach
  attach "$1" $connections
  e2fsck -fn $device
  mount -o ro $device /mnt
  (cd /mnt && sha256sum -c /tmp/sums >/tmp/verdicts) || { grep -v OK /tmp/verdicts; exit 1; }
  umount /mnt
  detach
  echo "$connections connections: all is there"
done`;

for (const how of ['tcp', 'unix'] as const) {
  t.test(
    `nbd-client over ${how}, 1 and 4 connections: mkfs, mount, write, sync, detach`,
    async (t) => {
      if (!requireKernelVm(t)) return;
      const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 512 * KIB });
      const port = how === 'tcp' ? await freePort() : null;
      const server = await mirror.serve(
        ...(port === null ? [] : ['--listen', `127.0.0.1:${port}`]),
      );
      const { status, output } = await runGuest(t, {
        script: USE,
        args: [how],
        timeoutS: GUEST_TIMEOUT_S,
        ...(port === null ? { nbdSocket: server.socket } : { nbdPort: port }),
      });
      t.equal(status, 0, output);
      t.match(output, `size ${SIZE} read-only 0 cache write back`);
      t.match(output, '4 connections: all is there');
      await mirror.clean();
      await server.stop();
      t.strictSame(mirror.differing(), [], 'both legs are the same');
    },
  );
}

/** nbd-client encrypts for the kernel, in a process of its own. */
const USE_ENCRYPTED = `${ATTACHING}
place() { nbd-client "$NBD_HOST" "$NBD_PORT" $device -N '' "$@"; }
if place 2>/tmp/said; then echo 'attached in the clear'; exit 1; fi
place -certfile client-cert.pem -keyfile client-key.pem -cacertfile ca-cert.pem \
  -tlshostname localhost
echo "size $(blockdev --getsize64 $device) read-only $(blockdev --getro $device)" \
  "cache $(cat /sys/block/nbd0/queue/write_cache)"
mkfs.ext4 -qF $device
mount $device /mnt
dd if=/dev/urandom of=/mnt/file bs=1M count=12 conv=fsync status=none
sha256sum /mnt/file >/tmp/sums
umount /mnt
e2fsck -fn $device
mount -o ro $device /mnt
sha256sum -c /tmp/sums
umount /mnt
detach
echo 'all is there'`;

t.test('nbd-client with certificates: the kernel’s requests are encrypted', async (t) => {
  if (!byEffort({ quick: false, standard: false, full: true })) {
    t.pass('with --full only: a guest of its own takes half a minute');
    return;
  }
  const pki = await makeCertificates(t);
  if (!requireKernelVm(t) || pki === null) return;
  const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 512 * KIB });
  const port = await freePort();
  const tls = ['--tls-certificates', pki, '--tls-verify-peer'];
  const server = await mirror.serve('--listen', `127.0.0.1:${port}`, ...tls);
  const names = ['client-cert.pem', 'client-key.pem', 'ca-cert.pem'];
  const { status, output } = await runGuest(t, {
    script: USE_ENCRYPTED,
    timeoutS: GUEST_TIMEOUT_S,
    nbdPort: port,
    files: names.map((name) => join(pki, name)),
  });
  t.equal(status, 0, output);
  t.match(output, `size ${SIZE} read-only 0 cache write back`);
  t.match(output, 'all is there');
  await mirror.clean();
  await server.stop();
  t.strictSame(mirror.differing(), [], 'both legs are the same');
});

/** Files, each synced and only then noted with its sum; then the server dies, and comes back. */
const SURVIVE = `${ATTACHING}
attach unix 4
mkfs.ext4 -qF $device
mount $device /mnt
{
  for i in {1..100000}; do
    dd if=/dev/urandom of=/mnt/$i bs=1K count=$((RANDOM % 250 + 1)) conv=fsync || break
    sha256sum /mnt/$i >>/share/out/synced
  done
} 2>/dev/null &
until [[ -e /share/out/synced && $(wc -l </share/out/synced) -ge 20 ]]; do sleep 0.05; done
touch /share/out/writing
wait
umount /mnt || umount -l /mnt
detach
touch /share/out/detached
until [[ -e /share/out/restarted ]]; do sleep 0.05; done
attach unix 4
e2fsck -fp $device || (($? == 1))
mount $device /mnt
sha256sum -c /share/out/synced >/tmp/verdicts || { grep -v OK /tmp/verdicts; exit 1; }
umount /mnt
e2fsck -fn $device
detach
echo "all of $(wc -l </share/out/synced) files are there"`;

t.test('the server is killed under a mounted file system, and started again', async (t) => {
  if (!requireKernelVm(t)) return;
  const mirror = new MirrorFiles(t, { sizeBytes: SIZE, regionBytes: 512 * KIB });
  const first = await mirror.serve();
  const guest = new Guest(t, {
    script: SURVIVE,
    nbdSocket: first.socket,
    timeoutS: GUEST_TIMEOUT_S,
  });
  let ended = false;
  const outcome = guest.outcome.finally(() => {
    ended = true;
  });
  const made = (mark: string): Promise<void> =>
    waitUntil(`the guest: ${mark}`, () => ended || guest.hasMade(mark), GUEST_TIMEOUT_S * 1000);
  await made('writing');
  await first.kill();
  t.strictSame(mirror.uncovered(), [], 'the log covers every difference between the legs');
  await made('detached');
  const second = await mirror.serve();
  guest.make('restarted');
  const { status, output } = await outcome;
  t.equal(status, 0, output);
  t.match(output, /all of \d+ files are there/);
  t.ok(readFileSync(join(guest.out, 'synced'), 'utf8').split('\n').length > 20);
  await mirror.clean();
  await second.stop();
  t.strictSame(mirror.differing(), [], 'both legs are the same');
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
