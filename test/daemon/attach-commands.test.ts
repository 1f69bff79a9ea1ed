import t from 'tap';
import { attachCommands, uriOf } from '../../src/daemon/attach-commands.ts';

t.test('uriOf() is good in every working directory', async (t) => {
  const uri = uriOf({ kind: 'unix', path: 'm.sock' }, 'my data');
  t.equal(uri, `nbd+unix:///my%20data?socket=${process.cwd()}/m.sock`);
});

t.test('attachCommands() can be pasted into a shell', async (t) => {
  t.strictSame(attachCommands({ kind: 'unix', path: "/run/it's.sock" }, ''), [
    "nbdinfo 'nbd+unix:///?socket=/run/it%27s.sock'",
    "qemu-img info 'nbd+unix:///?socket=/run/it%27s.sock'",
    "sudo nbd-client -unix '/run/it'\\''s.sock' /dev/nbd0",
    "sudo qemu-nbd --format=raw --connect=/dev/nbd0 'nbd+unix:///?socket=/run/it%27s.sock'",
    "mkdir -p mnt && nbdfuse mnt/disk 'nbd+unix:///?socket=/run/it%27s.sock'",
  ]);
  t.strictSame(attachCommands({ kind: 'tcp', host: '::', port: 10_810 }, 'data').slice(0, 3), [
    "nbdinfo 'nbd://[::1]:10810/data'",
    "qemu-img info 'nbd://[::1]:10810/data'",
    'sudo nbd-client localhost 10810 /dev/nbd0 -N data',
  ]);
});

t.test('attachCommands() with TLS name the credentials', async (t) => {
  const tcp = { kind: 'tcp', host: '127.0.0.1', port: 10_809 } as const;
  t.strictSame(attachCommands(tcp, '', { certificates: '/etc/pki' }), [
    "nbdinfo 'nbds://127.0.0.1/?tls-certificates=/etc/pki'",
    'qemu-img info --object tls-creds-x509,id=t,endpoint=client,dir=/etc/pki ' +
      '--image-opts driver=nbd,host=127.0.0.1,port=10809,tls-creds=t',
    'sudo nbd-client 127.0.0.1 10809 /dev/nbd0 -certfile /etc/pki/client-cert.pem ' +
      '-keyfile /etc/pki/client-key.pem -cacertfile /etc/pki/ca-cert.pem -tlshostname localhost',
    "mkdir -p mnt && nbdfuse mnt/disk 'nbds://127.0.0.1/?tls-certificates=/etc/pki'",
  ]);
  const unix = { kind: 'unix', path: '/run/a,b' } as const;
  const [, qemu] = attachCommands(unix, 'x', { user: 'al', pskFile: '/k/keys.psk' });
  t.equal(
    qemu,
    'qemu-img info --object tls-creds-psk,id=t,endpoint=client,dir=/k,username=al --image-opts ' +
      'driver=nbd,server.type=unix,server.path=/run/a,,b,tls-creds=t,tls-hostname=localhost,' +
      'export=x',
  );
  const hidden = { kind: 'unix', path: '\0hidden' } as const;
  t.equal(uriOf(hidden, ''), 'nbd+unix:///?socket=%00hidden');
});
