import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { Prng } from '../../src/base/prng.ts';
import { SocketTransport } from '../../src/nbd/socket-transport.ts';
import { tempDir } from '../support/temp-dir.ts';

const SIZE = 20 * 2 ** 20;

for (const kind of ['unix', 'TCP'] as const) {
  t.test(`SocketTransport receives into place what was accepted by ${kind}`, async (t) => {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    server.listen(
      kind === 'unix' ? { path: join(tempDir(t), 's') } : { host: '127.0.0.1', port: 0 },
    );
    await once(server, 'listening');
    t.teardown(() => server.close());
    const place = server.address() as AddressInfo | string;
    const client = connect((typeof place === 'string' ? { path: place } : place) as NetConnectOpts);
    const [accepted] = await once(server, 'connection');
    const transport = SocketTransport.accept(accepted);

    const prng = new Prng(kind);
    const sent = Buffer.alloc(SIZE);
    for (let at = 0; at < SIZE; at += 4096) sent.writeUInt32BE(prng.uint32(), at);
    const received = Buffer.alloc(SIZE);
    let [at, inPlace, stops] = [0, 0, 0];
    let onEnd = (): void => {};
    const ended = new Promise<void>((resolve) => {
      onEnd = resolve;
    });
    let onClosed = (): void => {};
    const closed = new Promise<void>((resolve) => {
      onClosed = resolve;
    });
    const mayGoOn = (): boolean => {
      if (!prng.chance(1, 20)) return true;
      stops += 1;
      setImmediate(() => transport.resume());
      return false;
    };
    transport.start({
      window: () => received.subarray(at, Math.min(at + prng.between(1, 300_000), SIZE + 1)),
      received: (size) => {
        at += size;
        inPlace += size;
        return mayGoOn();
      },
      receivedElsewhere: (bytes) => {
        received.set(bytes, at);
        at += bytes.length;
        return mayGoOn();
      },
      ended: () => onEnd(),
      closed: () => onClosed(),
    });
    client.end(sent.subarray(0, SIZE - 1));
    await ended;
    t.equal(at, SIZE - 1);
    t.ok(received.equals(sent), 'all bytes are there, in order');
    t.ok(inPlace > 0.9 * SIZE, `${inPlace} of ${SIZE} bytes were received in place`);
    t.ok(stops > 0, `reading stopped ${stops} times`);

    let left = 0;
    transport.cork();
    for (const text of ['one ', 'two ', 'three']) {
      transport.send(Buffer.from(text), () => {
        left += 1;
      });
    }
    transport.uncork();
    transport.end();
    let answer = '';
    for await (const bytes of client) answer += bytes;
    t.equal(answer, 'one two three', 'the other direction is open when one has ended');
    await closed;
    t.equal(left, 3);
  });
}
