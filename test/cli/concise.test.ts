/** Devices on one line, as `create --concise` takes them. */

import t from 'tap';
import { parseConcise } from '../../src/cli/concise.ts';

t.test('parseConcise() splits at what is not escaped', async (t) => {
  t.same(parseConcise(' a,U,7,ro,0 8 zero,8 8 error ;\n b\\,c,,,,0 8 linear x\\;y\\\\z 0;'), [
    { name: 'a', uuid: 'U', minor: 7, readOnly: true, table: '0 8 zero\n8 8 error' },
    { name: 'b,c', uuid: '', minor: null, readOnly: false, table: '0 8 linear x;y\\z 0' },
  ]);
  t.same(parseConcise(''), []);
});

t.test('parseConcise() names what is wrong', async (t) => {
  for (const [text, message] of [
    ['a,b', /device "a" has 2 fields, must have 5/],
    ['a,,,w,0 8 zero', /flags of device "a" are "w"/],
    ['a,,x,,0 8 zero', /minor of device "a" is "x"/],
    ['a,,99999999,,0 8 zero', /minor of device "a" is "99999999"/],
  ] as const) {
    t.throws(() => parseConcise(text), { message }, text);
  }
});
