import t from 'tap';
import { AddressFilter } from '../../../src/nbd/server/address-filter.ts';

t.test('AddressFilter compares addresses as numbers', async (t) => {
  for (const [allowed, denied, address, expected] of [
    [[], [], '10.0.0.1', true],
    [['10.0.0.0/8'], [], '10.255.0.1', true],
    [['10.0.0.0/8'], [], '11.0.0.1', false],
    // As text, one begins with the other.
    [['10.0.0.1'], [], '10.0.0.10', false],
    [['10.0.0.1'], [], '10.0.0.1', true],
    [['10.1.2.3/8'], [], '10.9.9.9', true],
    [['0.0.0.0/0'], [], '1.2.3.4', true],
    [['0.0.0.0/0'], [], '::1', false],
    [['::/0'], [], '1.2.3.4', false],
    [[], ['::/0'], '::ffff:1.2.3.4', true],
    [['::/0'], [], '2001:db8::1', true],
    [['fd00::/8'], [], 'fdab::1', true],
    [['fd00::/8'], [], 'fe80::1%eth0', false],
    [['fe80::/10'], [], 'fe80::1%eth0', true],
    [['2001:DB8:0::1'], [], '2001:db8::1', true],
    [['10.0.0.0/8'], [], '::ffff:10.1.2.3', true],
    [['10.0.0.0/8'], [], '::ffff:0b01:0203', false],
    [['::ffff:10.0.0.0/104'], [], '10.1.2.3', true],
    [['::ffff:a00:0/104'], [], '::ffff:10.1.2.3', true],
    [['::ffff:10.0.0.1'], [], '10.0.0.2', false],
    [[], ['127.0.0.0/8'], '127.0.0.1', false],
    [[], ['127.0.0.0/8'], '::ffff:127.0.0.1', false],
    [['10.0.0.0/8'], ['10.66.0.0/16'], '10.66.1.1', false],
    [['10.0.0.0/8'], ['10.66.0.0/16'], '10.67.1.1', true],
    [['10.0.0.0/8'], ['0.0.0.0/0'], null, true],
  ] as const) {
    const filter = new AddressFilter(allowed, denied);
    t.equal(filter.admits(address), expected, `${address}: ${allowed} but ${denied}`);
  }
});

t.test('AddressFilter refuses what is no address', async (t) => {
  const words = [
    ...['', 'localhost', '10.0.0', '10.0.0.256', '010.0.0.1', '10.0.0.0/33', '10.0.0.0/-1'],
    ...['10.0.0.0/', '10.0.0.0/8/8', '::/129', '[::1]', '1::2::3', '::ffff:10.0.0.0/95', '*'],
  ];
  for (const word of words) {
    const bad = { name: 'UserError', code: 'bad-address' };
    t.throws(() => new AddressFilter([word], []), { ...bad, message: /--allow is/ }, word);
    t.throws(() => new AddressFilter([], [word]), { ...bad, message: /--deny is/ }, word);
  }
});
