import { join } from 'node:path';
import t, { type Test } from 'tap';
import { EIO } from '../../../src/base/errno.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { Prng } from '../../../src/base/prng.ts';
import { NbdClient } from '../../../src/nbd/client/nbd-client.ts';
import { NbdServer } from '../../../src/nbd/server/server.ts';
import type { ListenAddress } from '../../../src/nbd/transport.ts';
import { RealClock } from '../../support/nbd-clock.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function serve(t: Test): Promise<{ device: ScriptedDevice; addresses: ListenAddress[] }> {
  const device = new ScriptedDevice({ name: 'disk', sectors: 8192 });
  const exports = [{ name: 'data', description: 'a disk', device }];
  const server = new NbdServer({ clock: new RealClock(), log: silentLogger, exports });
  t.teardown(() => server.abort());
  await server.listenUnix(join(tempDir(t), 's'));
  await server.listenTcp('127.0.0.1', 0);
  return { device, addresses: server.addresses() };
}

t.test(
  'NbdClient does everything, simple, structured and extended, by unix socket and TCP',
  async (t) => {
    const { device, addresses } = await serve(t);
    for (const address of addresses) {
      for (const form of ['simple', 'structured', 'extended'] as const) {
        device.seen.length = 0;
        const client = await NbdClient.connect({ address, exportName: 'data', form });
        t.match(client.negotiated, { form, size: 4_194_304, description: 'a disk' });
        t.equal(client.can('SEND_DF'), form !== 'simple');
        t.equal(client.can('READ_ONLY'), false);
        const data = Buffer.alloc(8192, 'data');
        await client.write(4096, data, { fua: true });
        t.same(await client.read(4096, 8192), data);
        t.same(await client.read(0, 0), Buffer.alloc(0));
        await client.flush();
        await client.trim(4096, 512, { fua: true });
        await client.writeZeroes(4608, 512, { fua: true, noHole: true });
        await client.cache(0, 4096);
        t.same(await client.read(4096, 1024), Buffer.alloc(1024));
        t.same(device.seen.slice(0, 5), [
          'write 8+16 fua',
          'read 8+16',
          'flush',
          'discard 8+1 fua',
          'write 9+1 fua',
        ]);
        t.equal(client.inFlight, 0);
        await client.disconnect();
      }
    }
  },
);

t.test('NbdClient keeps many requests in flight, small and large', async (t) => {
  const { device, addresses } = await serve(t);
  const prng = new Prng('pipelining');
  for (const address of addresses) {
    const client = await NbdClient.connect({ address });
    const model = Buffer.from(device.bytes);
    for (let round = 0; round < 5; round++) {
      // Disjoint places, so that the order of the device does not matter.
      const pieces: Promise<void>[] = [];
      for (let at = 0; at < model.length; ) {
        const length = Math.min(prng.pick([1, 511, 512, 4096, 70_000, 400_000]), model.length - at);
        const data = Buffer.alloc(length, prng.between(1, 255));
        data.copy(model, at);
        pieces.push(client.write(at, data));
        at += length;
      }
      await Promise.all(pieces);
      t.ok(model.equals(device.bytes), `round ${round}: ${pieces.length} writes`);
      const reads = Array.from({ length: 200 }, async () => {
        const offset = prng.between(0, model.length - 300_000);
        const length = prng.between(0, prng.pick([600, 300_000]));
        const read = await client.read(offset, length);
        return read.equals(model.subarray(offset, offset + length));
      });
      t.ok((await Promise.all(reads)).every((equal) => equal));
    }
    await client.disconnect();
  }
});

t.test('NbdClient rejects with the number and the words of the server', async (t) => {
  const { device, addresses } = await serve(t);
  for (const form of ['simple', 'structured'] as const) {
    const client = await NbdClient.connect({ address: addresses[0]!, form });
    device.badSectors.add(3);
    const text = form === 'simple' ? '' : 'Bad sector 3';
    await t.rejects(client.read(1536, 512), { name: 'NbdError', code: EIO, text });
    device.badSectors.clear();
    await t.rejects(client.write(4_194_304, Buffer.alloc(1)), { code: 28 });
    await t.rejects(client.writeZeroes(0, 512, { fastZero: true }), { code: 95 });
    t.same(await client.read(1536, 1), Buffer.alloc(1), 'the connection goes on');
    await client.disconnect();
    await t.rejects(client.read(0, 1), { name: 'NbdConnectionError' });
  }
});

t.test('NbdClient asks about exports without using them, and about ranges', async (t) => {
  const { addresses } = await serve(t);
  for (const address of addresses) {
    t.strictSame(await NbdClient.list({ address }), [{ name: 'data', description: 'a disk' }]);
    t.match(await NbdClient.info({ address }, 'data'), { size: 4_194_304, description: 'a disk' });
    t.strictSame(await NbdClient.listContexts({ address }, 'data'), ['base:allocation']);
    await t.rejects(NbdClient.info({ address }, 'none'), { message: /refused INFO: ERR_UNKNOWN/ });
    for (const form of ['structured', 'extended'] as const) {
      const contexts = ['base:allocation', 'x:unknown'];
      const client = await NbdClient.connect({ address, exportName: 'data', form, contexts });
      const status = await client.blockStatus(0, 65_536, { reqOne: true });
      t.strictSame([...status], [['base:allocation', [{ length: 65_536, status: 0 }]]]);
      await t.rejects(client.blockStatus(4_194_304, 512), { name: 'NbdError', code: 22 });
      await client.disconnect();
    }
  }
});

t.test('NbdClient.connect() says why it failed', async (t) => {
  const { addresses } = await serve(t);
  const lost = { name: 'NbdConnectionError' };
  await t.rejects(NbdClient.connect({ address: addresses[0]!, exportName: 'no' }), {
    ...lost,
    message: /refused GO: ERR_UNKNOWN there is no export "no"/,
  });
  const nowhere: ListenAddress = { kind: 'unix', path: join(tempDir(t), 'none') };
  await t.rejects(NbdClient.connect({ address: nowhere }), { ...lost, message: /ENOENT/ });
});
