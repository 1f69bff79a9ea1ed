/** The stream of events: in order, numbered, resumed where a listener stopped. */

import t from 'tap';
import type { ControlClient, ReceivedEvent } from '../../src/control/control-client.ts';
import { EventHistory } from '../../src/control/event-history.ts';
import { ControlRig } from '../support/control-rig.ts';

const TABLE = '0 64 mirror core 1 16 2 memory:one,size=1M 0 memory:two,size=1M 0';

async function take(client: ControlClient, after: string, count: number): Promise<ReceivedEvent[]> {
  const taken: ReceivedEvent[] = [];
  for await (const event of client.events({ after, follow: true })) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

async function all(client: ControlClient, after = 'start'): Promise<ReceivedEvent[]> {
  const taken: ReceivedEvent[] = [];
  for await (const event of client.events({ after, follow: false })) taken.push(event);
  return taken;
}

const types = (events: readonly ReceivedEvent[]): string[] => events.map(({ type }) => type);

t.test('Everything that happens to devices is told, in order, with rising numbers', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: TABLE });
  await rig.json('wait', { device: 'data' });
  await rig.json('suspend', { device: 'data', noflush: true });
  await rig.json('load', { device: 'data', table: '0 64 zero' });
  await rig.json('clear', { device: 'data' });
  await rig.json('load', { device: 'data', table: '0 64 zero' });
  await rig.json('resume', { device: 'data' });
  await rig.json('rename', { device: 'data', newName: 'other' });
  await rig.json('remove', { device: 'other' });
  await rig.refusal('remove', { device: 'other' });
  const events = await all(rig.client);
  t.same(types(events).sort(), [
    ...['cleared', 'created', 'event', 'event', 'loaded', 'loaded'],
    ...['ready', 'removed', 'renamed', 'resumed', 'suspended'],
  ]);
  const data = events.slice(1).map((event) => JSON.parse(event.data) as { sequence: number });
  t.same(
    data.map(({ sequence }) => sequence),
    Array.from({ length: 10 }, (_unused, index) => index + 1),
  );
  t.match(data, [
    { type: 'created', device: 'data', number: '253:0' },
    { type: 'event', device: 'data', eventNumber: 1 },
    { type: 'suspended', noflush: true },
    { type: 'loaded' },
    { type: 'cleared' },
    { type: 'loaded' },
    { type: 'resumed', swapped: true },
    { type: 'event', eventNumber: 2 },
    { type: 'renamed', device: 'data', name: 'other' },
    { type: 'removed', device: 'other' },
  ]);
});

t.test('A listener that comes again goes on where it stopped, without a gap', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: '0 8 zero' });
  const first = await take(rig.client, 'start', 2);
  t.same(types(first), ['ready', 'created']);
  for (let round = 0; round < 5; round++) {
    await rig.json('suspend', { device: 'data' });
    await rig.json('resume', { device: 'data' });
  }
  const rest = await all(rig.client, first.at(-1)!.id);
  t.same(types(rest).slice(1), Array(5).fill(['suspended', 'resumed']).flat());
  const afterwards = await all(rig.client, rest.at(-1)!.id);
  t.same(types(afterwards), ['ready'], 'nothing happened since');
  t.same(types(await all(rig.client, 'now')), ['ready']);
});

t.test('A listener that follows is told at once, and several are told the same', async (t) => {
  const rig = await ControlRig.start(t);
  const listeners = [1, 2, 3].map(() => take(rig.client, 'now', 4));
  await rig.json('version');
  await rig.json('create', { device: 'data', table: '0 8 zero' });
  await rig.json('suspend', { device: 'data' });
  await rig.json('resume', { device: 'data' });
  for (const events of await Promise.all(listeners)) {
    t.same(types(events), ['ready', 'created', 'suspended', 'resumed']);
  }
});

t.test('A listener of an earlier daemon is told so, and gets all there is', async (t) => {
  const rig = await ControlRig.start(t);
  await rig.json('create', { device: 'data', table: '0 8 zero' });
  t.same(types(await all(rig.client, 'abc123-7')), ['restarted', 'ready', 'created']);
  const { instance } = rig.daemon.control.host;
  t.same(types(await all(rig.client, `${instance}-99`)), ['restarted', 'ready', 'created']);
});

t.test('The end of the daemon ends the stream', async (t) => {
  const rig = await ControlRig.start(t);
  const events = take(rig.client, 'start', 99).then(types, () => 'cut off');
  await rig.json('create', { device: 'data', table: '0 8 zero' });
  await rig.stop();
  t.ok(['cut off', 'ready,created'].includes(String(await events)));
});

t.test('EventHistory keeps the last events and tells how many are lost', async (t) => {
  const history = new EventHistory(3);
  t.same(history.after(0), { events: [], lost: 0 });
  for (let index = 1; index <= 5; index++) history.publish('event', `d${index}`);
  t.equal(history.last, 5);
  const sequences = (position: number): number[] =>
    history.after(position).events.map(({ sequence }) => sequence);
  t.same(sequences(0), [3, 4, 5]);
  t.equal(history.after(0).lost, 2);
  t.same(sequences(2), [3, 4, 5]);
  t.equal(history.after(2).lost, 0);
  t.same(sequences(4), [5]);
  t.same(sequences(5), []);
  const abort = new AbortController();
  const waiting = history.changed(5, abort.signal);
  history.publish('event', 'd6');
  await waiting;
  const givenUp = history.changed(6, abort.signal);
  abort.abort();
  await givenUp;
});
