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
