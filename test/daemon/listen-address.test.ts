import t from 'tap';
import { parseListenAddress } from '../../src/daemon/listen-address.ts';

t.test('parseListenAddress() takes what people write', async (t) => {
  const cases: [text: string, host: string, port: number][] = [
    ['127.0.0.1:1234', '127.0.0.1', 1234],
    ['localhost', 'localhost', 10_809],
    ['10810', '127.0.0.1', 10_810],
    [':10810', '::', 10_810],
    ['[::1]:0', '::1', 0],
    ['[fe80::1]', 'fe80::1', 10_809],
  ];
  for (const [text, host, port] of cases) {
    t.strictSame(parseListenAddress(text), { host, port }, text);
  }
});

t.test('parseListenAddress() refuses the rest', async (t) => {
  for (const text of ['', 'a:b', 'a:-1', 'a:65536', '::1', '1:2:3', '[::1', 'host:', '99999']) {
    t.throws(() => parseListenAddress(text), { code: 'bad-listen' }, `"${text}"`);
  }
});
