import t from 'tap';
import { UserError } from '../../src/base/failure.ts';
import { parseDeviceSpec } from '../../src/block/device-spec.ts';

t.test('parseDeviceSpec() takes paths as they are, commas and colons included', async (t) => {
  for (const path of ['a.img', '/dev/sdb', 'dir/with space', 'a,size=1G', 'c:/x', '12:34:56']) {
    t.match(parseDeviceSpec(path), { kind: 'file', name: path, path, createBytes: null });
  }
});

t.test('parseDeviceSpec() takes MAJOR:MINOR', async (t) => {
  t.match(parseDeviceSpec('8:16'), { kind: 'file', name: '8:16', path: '/dev/block/8:16' });
});

t.test('parseDeviceSpec() takes files and memory with a size', async (t) => {
  t.match(parseDeviceSpec('file:a.img,size=1M'), { path: 'a.img', createBytes: 2 ** 20 });
  t.match(parseDeviceSpec('file:8:16'), { path: '8:16', createBytes: null });
  t.match(parseDeviceSpec('memory:x,size=64K'), { kind: 'memory', sizeBytes: 65_536 });
});

t.test('parseDeviceSpec() says what is wrong', async (t) => {
  const cases: [text: string, message: RegExp][] = [
    ['', /name must not be empty/],
    ['a\0b', /NUL/],
    ['file:', /nothing follows "file:"/],
    ['file:a,sise=1G', /option "sise=1G" is unknown/],
    ['file:a,size=100', /size is "100", must be a multiple of 512/],
    ['memory:x', /size is missing/],
    ['memory:x,size=', /size is ""/],
  ];
  for (const [text, message] of cases) {
    t.throws(() => parseDeviceSpec(text), { name: UserError.name, code: 'bad-device', message });
  }
});
