import t from 'tap';
import type { ServeOptions } from '../../../src/daemon/plan/serve-options.ts';
import { buildTableLine } from '../../../src/daemon/plan/short-form.ts';

const NOTHING: ServeOptions = {
  leg: [],
  handleErrors: false,
  keepLog: false,
  table: [],
  create: false,
  overwriteLog: false,
  resizeLog: false,
  readOnly: false,
  listen: [],
  name: '',
  exitWithParent: false,
  logJson: false,
  verbose: false,
  quiet: false,
};

const SIZES: Readonly<Record<string, number>> = { a: 2 ** 20, b: 3 * 2 ** 20, odd: 5000 };

function build(options: Partial<ServeOptions>): Promise<string> {
  return buildTableLine({ ...NOTHING, ...options }, async (device) => SIZES[device] ?? null);
}

t.test('buildTableLine() makes the line that a table would have', async (t) => {
  const leg = ['a', 'b'];
  const cases: [options: Partial<ServeOptions>, line: string][] = [
    [{ leg, size: '1G' }, '0 2097152 mirror core 1 1024 2 a 0 b 0'],
    [{ leg, size: '1M', log: 'disk:l' }, '0 2048 mirror disk 2 l 1024 2 a 0 b 0'],
    [{ leg, size: '1M', sync: true }, '0 2048 mirror core 2 1024 sync 2 a 0 b 0'],
    [
      { leg, size: '1M', log: 'disk:l', sync: false, regionSize: '1K' },
      '0 2048 mirror disk 3 l 2 nosync 2 a 0 b 0',
    ],
    [
      { leg: ['a', 'b', 'c,offset=1M'], size: '1M', handleErrors: true, keepLog: true },
      '0 2048 mirror core 1 1024 3 a 0 b 0 c 2048 2 handle_errors keep_log',
    ],
    [{ leg: ['a b', 'c\\d'], size: '1M' }, '0 2048 mirror core 1 1024 2 a\\ b 0 c\\\\d 0'],
    [{ leg }, '0 2048 mirror core 1 1024 2 a 0 b 0'],
    [{ leg: ['a,offset=512K', 'b'] }, '0 1024 mirror core 1 1024 2 a 1024 b 0'],
    [{ leg: ['odd', 'b'], regionSize: '1K' }, '0 9 mirror core 1 2 2 odd 0 b 0'],
  ];
  for (const [options, line] of cases) t.equal(await build(options), line);
});

t.test('buildTableLine() names the option that is wrong', async (t) => {
  const leg = ['a', 'b'];
  const cases: [options: Partial<ServeOptions>, code: string, message: RegExp][] = [
    [{ leg: ['a'], size: '1M' }, 'too-few-legs', /given once/],
    [{ size: '1M' }, 'too-few-legs', /given not at all/],
    [{ leg, size: '-1' }, 'bad-size', /--size is "-1"/],
    [{ leg, regionSize: '1000' }, 'bad-size', /--region-size is "1000"/],
    [{ leg: ['a', 'b,offset=x'] }, 'bad-size', /--leg b,offset=x: offset is "x"/],
    [{ leg: ['a', 'missing'] }, 'size-missing', /leg "missing" does not exist/],
    [
      { leg: ['a,offset=1M', 'b'] },
      'leg-too-small',
      /leg "a" has \d+ bytes and the offset 1048576, must have a sector/,
    ],
    [{ leg, regionSize: '512' }, 'bad-size', /is "512", must be a power of two, at least 1K/],
    [{ leg, regionSize: '1536' }, 'bad-size', /is "1536", must be a power of two/],
    [{ leg, log: 'file:x' }, 'bad-log', /--log is "file:x"/],
  ];
  for (const [options, code, message] of cases) {
    await t.rejects(build(options), { code, message });
  }
});
