import t from 'tap';
import { MemoryDevice } from '../../../src/block/memory-device.ts';
import { transmissionFlagNames } from '../../../src/nbd/constants.ts';
import { transmissionFlags } from '../../../src/nbd/server/export.ts';
import { ExportList } from '../../../src/nbd/server/export-list.ts';
import type { ReplyStyle } from '../../../src/nbd/server/reply-style.ts';

const device = new MemoryDevice({ sizeSectors: 8 });

t.test('transmissionFlags() promises what the device can do, and no more', async (t) => {
  const plain = {
    readOnly: false,
    discard: false,
    rotational: false,
    replyStyle: 'simple' as ReplyStyle,
    contextCount: 0,
  };
  const always = 'HAS_FLAGS SEND_FLUSH SEND_FUA';
  for (const [facts, names] of [
    [{}, `${always} SEND_WRITE_ZEROES CAN_MULTI_CONN SEND_CACHE SEND_FAST_ZERO`],
    [
      { discard: true },
      `${always} SEND_TRIM SEND_WRITE_ZEROES CAN_MULTI_CONN SEND_CACHE SEND_FAST_ZERO`,
    ],
    [
      { replyStyle: 'structured' },
      `${always} SEND_WRITE_ZEROES SEND_DF CAN_MULTI_CONN SEND_CACHE SEND_FAST_ZERO`,
    ],
    [
      { rotational: true },
      `${always} ROTATIONAL SEND_WRITE_ZEROES CAN_MULTI_CONN SEND_CACHE SEND_FAST_ZERO`,
    ],
    [
      { readOnly: true, discard: true },
      'HAS_FLAGS READ_ONLY SEND_FLUSH SEND_FUA CAN_MULTI_CONN SEND_CACHE',
    ],
    [
      { readOnly: true, replyStyle: 'structured' },
      'HAS_FLAGS READ_ONLY SEND_FLUSH SEND_FUA SEND_DF CAN_MULTI_CONN SEND_CACHE',
    ],
  ] as const) {
    const flags = transmissionFlags({ ...plain, ...facts });
    t.equal(transmissionFlagNames(flags), names, JSON.stringify(facts));
  }
});

t.test('Export is read-only by its options, or by its device', async (t) => {
  const list = new ExportList();
  const readOnly = new MemoryDevice({ sizeSectors: 8, readOnly: true });
  t.equal(list.add({ name: 'a', device }).readOnly, false);
  t.equal(list.add({ name: 'b', device, readOnly: true }).readOnly, true);
  t.equal(list.add({ name: 'c', device: readOnly }).readOnly, true);
});

t.test('ExportList.add() refuses what cannot be served', async (t) => {
  const list = new ExportList();
  list.add({ name: 'taken', device });
  const huge = new MemoryDevice({ sizeSectors: 2 ** 45, sparse: true });
  for (const [options, code, message] of [
    [{ name: 'taken', device }, 'export-exists', /"taken".*must be unique/],
    [{ name: 'x'.repeat(256), device }, 'export-name-too-long', /256 bytes, must have at most 255/],
    [{ name: 'ü'.repeat(128), device }, 'export-name-too-long', /256 bytes/],
    [{ name: 'a\0b', device }, 'export-name-invalid', /must be UTF-8 without NUL/],
    [{ name: '\ud800', device }, 'export-name-invalid', /must be UTF-8/],
    [
      { name: 'd', description: 'x'.repeat(256), device },
      'export-description-too-long',
      /description has 256 bytes/,
    ],
    [{ name: 'huge', device: huge }, 'export-too-large', /must be below 2\^53 bytes/],
  ] as const) {
    t.throws(() => list.add(options), { name: 'UserError', code, message });
  }
  t.same(
    list.all.map((one) => one.name),
    ['taken'],
    'nothing of it stays',
  );
});

t.test('ExportList shares what makes a device byte-addressed among its exports', async (t) => {
  const list = new ExportList();
  t.equal(list.add({ name: 'a', device }).bytes, list.add({ name: 'b', device }).bytes);
});
