import fc from 'fast-check';
import t from 'tap';
import { formatNbdUri, parseNbdUri } from '../../src/nbd/uri.ts';

t.test('formatNbdUri() prints what can be pasted', async (t) => {
  const unix = (path: string, name: string): string => formatNbdUri({ kind: 'unix', path }, name);
  const tcp = (host: string, port: number, name = ''): string =>
    formatNbdUri({ kind: 'tcp', host, port }, name);
  t.equal(unix('/run/m.sock', ''), 'nbd+unix:///?socket=/run/m.sock');
  t.equal(unix('/run/a b&c', 'd/e f'), 'nbd+unix:///d/e%20f?socket=/run/a%20b%26c');
  t.equal(tcp('127.0.0.1', 10_809), 'nbd://127.0.0.1/');
  t.equal(tcp('127.0.0.1', 10_810, 'data'), 'nbd://127.0.0.1:10810/data');
  t.equal(tcp('::1', 10_809, '/x'), 'nbd://[::1]//x');
  t.equal(tcp('0.0.0.0', 1), 'nbd://127.0.0.1:1/', 'nobody connects to an unspecified address');
  t.equal(tcp('::', 1), 'nbd://[::1]:1/');
  t.equal(unix('/s', "it's (50%)*!?#"), 'nbd+unix:///it%27s%20%2850%25%29%2A%21%3F%23?socket=/s');
});

t.test('parseNbdUri() takes the forms of the protocol', async (t) => {
  for (const [text, exportName, address, tls] of [
    ['nbd://host', '', { kind: 'tcp', host: 'host', port: 10_809 }, false],
    ['nbd://host/', '', { kind: 'tcp', host: 'host', port: 10_809 }, false],
    ['nbd://host:99//x', '/x', { kind: 'tcp', host: 'host', port: 99 }, false],
    ['nbds://u@[::1]:99/a%20b', 'a b', { kind: 'tcp', host: '::1', port: 99 }, true],
    ['nbd+unix:///?socket=/a%26b', '', { kind: 'unix', path: '/a&b' }, false],
    ['nbd+unix:///n?x=y&socket=s', 'n', { kind: 'unix', path: 's' }, false],
    ['nbds+unix:///n?socket=s', 'n', { kind: 'unix', path: 's' }, true],
  ] as const) {
    t.same(parseNbdUri(text), { exportName, address, tls }, text);
  }
});

t.test('parseNbdUri() says what is wrong', async (t) => {
  for (const [text, message] of [
    ['http://host/', /form is unknown/],
    ['nbd:/host', /form is unknown/],
    ['nbd+unix:///x', /"socket" is missing/],
    ['nbd+unix:///x?socket=', /"socket" is missing/],
    ['nbd://host:0/', /must be HOST or HOST:PORT/],
    ['nbd://host:65536/', /must be HOST or HOST:PORT/],
    ['nbd://a:b:c/', /must be HOST or HOST:PORT/],
    ['nbd://host/%ff', /percent-encoding is broken/],
  ] as const) {
    t.throws(() => parseNbdUri(text), { name: 'UserError', code: 'uri-invalid', message }, text);
  }
});

t.test('parseNbdUri() gives back what formatNbdUri() was given', async () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 20 });
  const path = text.filter((one) => one !== '');
  const address = fc.oneof(
    fc.record({ kind: fc.constant('unix' as const), path }),
    fc.record({
      kind: fc.constant('tcp' as const),
      host: fc.constantFrom('localhost', '10.1.2.3', 'fe80::1'),
      port: fc.integer({ min: 1, max: 65_535 }),
    }),
  );
  fc.assert(
    fc.property(address, text, (one, name) => {
      const parsed = parseNbdUri(formatNbdUri(one, name));
      return parsed.exportName === name && JSON.stringify(parsed.address) === JSON.stringify(one);
    }),
  );
});
