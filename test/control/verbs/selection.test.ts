/** What `-S` selects, beside what is recorded of `dmsetup` (golden-dmsetup/reports.txt). */

import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../../src/base/failure.ts';
import type { DeviceDescription } from '../../../src/control/verbs/device-description.ts';
import { parseSelection } from '../../../src/control/verbs/selection.ts';
import { splitName } from '../../../src/control/verbs/split-name.ts';
import { ControlRig } from '../../support/control-rig.ts';

const DEVICE: DeviceDescription = {
  ...{ name: 'vg-lv', uuid: 'LVM-1', number: '253:7', suspended: false, readOnly: true },
  ...{ liveTable: true, inactiveTable: false, openCount: 2, clients: 1, eventNumber: 3 },
  ...{ deferredRemove: false, uses: [], usedBy: [], targetCount: 1, sizeSectors: 8 },
  requests: { inFlight: 0, deferred: 0, reads: 0, readSectors: 0, writes: 0, writtenSectors: 0 },
};

t.test('And binds closer than or, and parentheses closer than both', async (t) => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['name=x && open=2 || events=3', true],
    ['name=x && (open=2 || events=3)', false],
    ['events=3 || name=x && open=9', true],
    ['!(name=x) , !(open>2)', true],
    ['!(name=vg-lv # open=9)', false],
    ['vg_name=vg && lv_name=lv && subsystem=LVM', true],
    ["name=~'^vg' && name!~'^vg$'", true],
  ];
  for (const [text, expected] of cases) t.equal(parseSelection(text)(DEVICE), expected, text);
});

t.test('Whatever is asked is understood, or refused as bad input', async () => {
  const word = fc.constantFrom(
    ...['name', 'open', 'bad', '=', '!=', '=~', '>', '&&', '||', ',', '#', '!', '(', ')', '"'],
    ...["'", '[', '/', '\\', '*', '+', '1', '18446744073709551616', 'x', ' ', '\0', 'ü'],
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 14 }), (words) => {
      try {
        parseSelection(words.join(''))(DEVICE);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

t.test('Too long a selection, and parentheses without end, are bad input', async (t) => {
  for (const text of [`name=${'x'.repeat(5000)}`, '('.repeat(4096), `${'!('.repeat(2000)}name=x`]) {
    t.throws(() => parseSelection(text), UserError);
  }
});

t.test('A name is taken apart as LVM put it together', async () => {
  const part = fc.stringMatching(/^[a-z][a-z-]{0,6}[a-z]$/);
  const double = (text: string): string => text.replaceAll('-', '--');
  fc.assert(
    fc.property(part, part, part, (group, volume, layer) => {
      const parts = splitName([group, volume, layer].map(double).join('-'));
      return parts.group === group && parts.volume === volume && parts.layer === layer;
    }),
  );
});

t.test('A command that cannot be run is told of, and the others run', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'a', table: '0 8 zero' });
  await rig.json('create', { device: 'b', table: '0 8 error' });
  const ran = await rig.run('table', '--target', 'error', '--exec', 'echo found');
  t.match(ran, { status: 0, out: 'found /dev/mapper/b\n' });
  const named = await rig.run('status', '--exec', 'echo', '-S', 'name=a', 'a', 'b');
  t.match(named, { status: 0, out: '/dev/mapper/a\n' });
  const missing = await rig.run('status', '--exec', 'echo', 'a', 'nosuch');
  t.match(missing, { status: 1, out: '', err: /^Device does not exist\.\n/ });
  const none = await rig.run('ls', '--exec', '   ');
  t.match(none, { status: 1, err: /--exec/ }, 'a command of no words');
});
