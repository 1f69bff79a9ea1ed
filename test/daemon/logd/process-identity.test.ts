/** Whether a log server that has a node's name has surely ended; else its lease is waited for. */

import t from 'tap';
import { hasProcessEnded, processIdentity } from '../../../src/daemon/logd/process-identity.ts';

t.test('a process of this host, and those of which nobody here can know', async (t) => {
  const own = processIdentity();
  t.equal(hasProcessEnded(own), false, 'it lives');
  const [host, boot, pid, start, namespace] = own.split(' ');
  const of = (...words: (string | undefined)[]): boolean => hasProcessEnded(words.join(' '));
  t.equal(of(host, boot, pid, `${Number(start) - 1}`, namespace), true, 'its number is another’s');
  t.equal(of('elsewhere', boot, pid, '1', namespace), false, 'another host');
  t.equal(of(host, 'another', pid, '1', namespace), false, 'maybe a host of the same name');
  t.equal(of(host, boot, pid, '1', 'pid:[1]'), false, 'another container');
  t.equal(of(host, boot, pid, '1'), false);
  t.equal(of(host, boot, '-1', '1', namespace), false);
  t.equal(hasProcessEnded(''), false);
});
