import { isDeepStrictEqual } from 'node:util';
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

t.test('formatNbdUri() prints what a client needs for TLS', async (t) => {
  const unix = { kind: 'unix', path: '\0hidden' } as const;
  t.equal(formatNbdUri(unix, '', {}), 'nbds+unix:///?socket=%00hidden');
  const tcp = { kind: 'tcp', host: 'fe80::1%eth0', port: 10_809 } as const;
  t.equal(
    formatNbdUri(tcp, 'x', {
      ...{ user: 'al@home', type: 'psk', pskFile: '/k & y', hostname: 'h', verifyPeer: false },
    }),
    'nbds://al%40home@[fe80::1%25eth0]/x?tls-type=psk&tls-hostname=h&tls-verify-peer=0' +
      '&tls-psk-file=/k%20%26%20y',
  );
});

t.test('parseNbdUri() takes the forms of the protocol', async (t) => {
  for (const [text, exportName, address, tls] of [
    ['nbd://host', '', { kind: 'tcp', host: 'host', port: 10_809 }, null],
    ['NBD://host/', '', { kind: 'tcp', host: 'host', port: 10_809 }, null],
    ['nbd:///x', 'x', { kind: 'tcp', host: 'localhost', port: 10_809 }, null],
    ['nbd://host:99//x', '/x', { kind: 'tcp', host: 'host', port: 99 }, null],
    ['nbd://host:/x', 'x', { kind: 'tcp', host: 'host', port: 10_809 }, null],
    ['nbds://u@[::1]:99/a%20b', 'a b', { kind: 'tcp', host: '::1', port: 99 }, { user: 'u' }],
    ['nbd://[fe80::1%25eth0]', '', { kind: 'tcp', host: 'fe80::1%eth0', port: 10_809 }, null],
    ['nbd+unix:///?socket=/a%26b', '', { kind: 'unix', path: '/a&b' }, null],
    ['nbd+unix:///n?socket=s=1', 'n', { kind: 'unix', path: 's=1' }, null],
    ['nbd+unix://?socket=%00hidden', '', { kind: 'unix', path: '\0hidden' }, null],
    ['nbds+unix:///n?socket=s', 'n', { kind: 'unix', path: 's' }, {}],
    [
      'nbds+unix://al%40home@/?socket=s&tls-type=psk&tls-psk-file=k.psk&tls-verify-peer=0',
      '',
      { kind: 'unix', path: 's' },
      { user: 'al@home', type: 'psk', pskFile: 'k.psk', verifyPeer: false },
    ],
    [
      'nbds://10.0.0.1/?tls-certificates=/etc/pki%20x&tls-hostname=h&tls-verify-peer=1',
      '',
      { kind: 'tcp', host: '10.0.0.1', port: 10_809 },
      { certificates: '/etc/pki x', hostname: 'h', verifyPeer: true },
    ],
  ] as const) {
    t.strictSame(parseNbdUri(text), { exportName, address, tls, parameters: new Map() }, text);
  }
});

t.test('parseNbdUri() hands parameters of its own to a caller that knows them', async (t) => {
  const { parameters, address } = parseNbdUri('nbd+unix:///?delay=5&socket=s', ['delay']);
  t.strictSame([...parameters], [['delay', '5']]);
  t.strictSame(address, { kind: 'unix', path: 's' });
});

t.test('parseNbdUri() says what is wrong', async (t) => {
  for (const [text, message] of [
    ['http://host/', /scheme is "http", must be one of nbd, nbds, nbd\+unix, nbds\+unix/],
    ['nbd+vsock://1:10809/', /scheme is "nbd\+vsock"/],
    ['nbd:/host', /form is unknown/],
    ['nbd://host/x#fragment', /form is unknown/],
    ['nbd+unix:///x', /"socket" is missing/],
    ['nbd+unix:///x?socket=', /"socket" is missing/],
    ['nbd+unix://host/x?socket=s', /host is "host", must be empty/],
    ['nbd+unix:///?socket=a%00b', /has a NUL in it/],
    [`nbd+unix:///?socket=${'x'.repeat(108)}`, /path of the socket has 108 bytes/],
    ['nbd://host:0/', /must be HOST or HOST:PORT/],
    ['nbd://host:65536/', /must be HOST or HOST:PORT/],
    ['nbd://a:b:c/', /with an IPv6 address in brackets/],
    ['nbd://[host]/', /with an IPv6 address in brackets/],
    ['nbd://a%20b/', /must be HOST or HOST:PORT/],
    ['nbd://host/%ff', /percent-encoding is broken/],
    ['nbd://host/a%00', /no NUL/],
    [`nbd://host/${'x'.repeat(4097)}`, /at most 4096 bytes/],
    ['nbd://host/?cache=1', /parameter "cache" is unknown/],
    ['nbd://host/?socket=s', /"socket" belongs to a unix socket/],
    ['nbd://host/?tls-certificates=d', /scheme must be nbds/],
    ['nbds://host/?tls-colour=red', /"tls-colour" is unknown/],
    ['nbds://host/?tls-type=ssl', /tls-type is "ssl", must be one of anon, x509, psk/],
    ['nbds://host/?tls-verify-peer=yes', /tls-verify-peer is "yes", must be 0 or 1/],
    ['nbds://host/?tls-psk-file=', /"tls-psk-file" is empty/],
    ['nbds://host/?tls-type', /"tls-type" has no value/],
    ['nbds://host/?tls-type=psk&tls-type=psk', /"tls-type" is given twice/],
  ] as const) {
    t.throws(() => parseNbdUri(text), { name: 'UserError', code: 'uri-invalid', message }, text);
  }
});

t.test('parseNbdUri() gives back what formatNbdUri() was given', async () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 20 });
  const word = text.filter((one) => one !== '');
  const path = word.filter((one) => Buffer.byteLength(one) <= 107);
  const address = fc.oneof(
    fc.record({ kind: fc.constant('unix' as const), path }),
    fc.record({
      kind: fc.constant('tcp' as const),
      host: fc.constantFrom('localhost', '10.1.2.3', 'fe80::1', 'fe80::1%eth0'),
      port: fc.integer({ min: 1, max: 65_535 }),
    }),
  );
  const tls = fc.record(
    {
      user: word,
      type: fc.constantFrom('anon' as const, 'x509' as const, 'psk' as const),
      hostname: word,
      verifyPeer: fc.boolean(),
      certificates: word,
      pskFile: word,
    },
    { requiredKeys: [], noNullPrototype: true },
  );
  const maybeTls = fc.option(tls);
  fc.assert(
    fc.property(address, text, maybeTls, (one, exportName, tlsGiven) => {
      const parsed = parseNbdUri(formatNbdUri(one, exportName, tlsGiven));
      return isDeepStrictEqual(parsed, {
        ...{ address: { ...one }, exportName, tls: tlsGiven, parameters: new Map() },
      });
    }),
  );
});
