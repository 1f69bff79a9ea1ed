import t from 'tap';
import { takeActivationSockets } from '../../src/daemon/socket-activation.ts';

t.test('takeActivationSockets() takes sockets for this process only, and once', async (t) => {
  const environment: NodeJS.ProcessEnv = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a' };
  t.strictSame(takeActivationSockets(environment, 42), [3, 4]);
  t.strictSame(environment, {}, 'children do not see it');
  t.strictSame(takeActivationSockets({ LISTEN_PID: '41', LISTEN_FDS: '2' }, 42), []);
  t.strictSame(takeActivationSockets({ LISTEN_FDS: '2' }, 42), []);
  t.strictSame(takeActivationSockets({}, 42), []);
});

t.test('takeActivationSockets() refuses a count that is none', async (t) => {
  for (const count of ['0', '-1', 'x', '1000', '']) {
    const environment = { LISTEN_PID: '42', LISTEN_FDS: count };
    t.throws(() => takeActivationSockets(environment, 42), { code: 'bad-activation' }, count);
  }
});
