/** What the daemon asks itself changes nothing, and a stop in the middle of it is none. */

import { join } from 'node:path';
import t from 'tap';
import { warmControl } from '../../src/daemon/warm-control.ts';
import { ControlRig } from '../support/control-rig.ts';

t.test('No device, no event and no fault comes of it', async (t) => {
  const rig = await ControlRig.start(t, { table: '0 8 zero', name: 'data' });
  const before = await rig.json('info');
  await warmControl({ kind: 'unix', path: rig.socket });
  t.same(await rig.json('info'), before);
  const types: string[] = [];
  for await (const { type } of rig.client.events({ after: 'start', follow: false })) {
    types.push(type);
  }
  t.notOk(
    types.some((type) => /suspended|resumed|loaded|removed|fault/.test(type)),
    `${types}`,
  );
});

t.test('It ends when the daemon stops, or is not there', async (t) => {
  const rig = await ControlRig.start(t);
  rig.daemon.controlListener.warm();
  await rig.stop();
  await t.resolves(warmControl({ kind: 'unix', path: join(rig.directory, 'nobody') }));
});
