import t from 'tap';
import { toSector, toSectorCount } from '../../../src/base/units.ts';
import { Bio } from '../../../src/block/bio.ts';
import type { Allocation } from '../../../src/block/block-device.ts';
import type { ClientRequest } from '../../../src/nbd/client/client-request.ts';
import { RemoteHoles } from '../../../src/nbd/client/remote-holes.ts';

const HOLE = 3;
const HOLE_OF_UNKNOWN_CONTENTS = 1;
const UNKNOWN = { zero: false, hole: false };

/** Asks about 16 sectors from 8 on, and gives what is known while they are learnt. */
function ask(
  holes: RemoteHoles,
  asked: ClientRequest[],
  answer: (request: ClientRequest) => void,
): Allocation & { readonly learnt: number } {
  let known: (Allocation & { readonly learnt: number }) | null = null;
  holes.ask(toSector(8), toSectorCount(16), (learnt) => {
    known = { ...holes.at(toSector(8), learnt), learnt };
  });
  answer(asked.at(-1)!);
  return known!;
}

function newHoles(blockSize = 512): { holes: RemoteHoles; asked: ClientRequest[] } {
  const asked: ClientRequest[] = [];
  const submit = (request: ClientRequest): void => void asked.push(request);
  return { holes: new RemoteHoles({ blockSize, sizeBytes: 2 ** 20, submit }), asked };
}

function tell(
  request: ClientRequest,
  ...extents: readonly [length: number, status: number][]
): void {
  const told = extents.map(([length, status]) => ({ length, status }));
  request.statuses = [{ contextId: 5, extents: told }];
  request.onEnd(request);
}

t.test('RemoteHoles tells what the server says, while it is learnt and no longer', async (t) => {
  const { holes, asked } = newHoles();
  const whole = ask(holes, asked, (request) => tell(request, [8192, HOLE]));
  t.same(whole, { count: 16, zero: true, hole: true, learnt: 16 });
  t.match(asked[0]!, { command: 7, offset: 4096, length: 8192 });
  t.same(holes.at(toSector(8), toSectorCount(16)), { count: 16, ...UNKNOWN }, 'and then nothing');
  const part = ask(holes, asked, (request) => tell(request, [1024, 0], [512, HOLE]));
  t.same(part, { count: 2, ...UNKNOWN, learnt: 3 }, 'a server may tell of less');
  const vague = ask(holes, asked, (request) => tell(request, [8192, HOLE_OF_UNKNOWN_CONTENTS]));
  t.same(vague, { count: 16, ...UNKNOWN, learnt: 16 }, 'a hole may read as anything');
});

t.test('RemoteHoles asks about whole blocks of the server', async (t) => {
  const { holes, asked } = newHoles(65_536);
  const known = ask(holes, asked, (request) => tell(request, [8192, 0], [57_344, HOLE]));
  t.match(asked[0]!, { offset: 0, length: 65_536 });
  t.same(known, { count: 8, ...UNKNOWN, learnt: 16 });
});

t.test('RemoteHoles believes nothing that was written since, failed, or was lost', async (t) => {
  const { holes, asked } = newHoles();
  const writeTo = (sector: number, count: number): Bio => {
    const place = { sector: toSector(sector), count: toSectorCount(count), data: null };
    return new Bio({ op: 'write-zeroes', ...place, fua: false, onEnd: () => {} });
  };
  const nothing = { count: 16, ...UNKNOWN, learnt: 16 };
  const written = ask(holes, asked, (request) => {
    holes.writes(writeTo(23, 2));
    tell(request, [8192, HOLE]);
  });
  t.same(written, nothing);
  const beside = ask(holes, asked, (request) => {
    holes.writes(writeTo(0, 8));
    holes.writes(writeTo(24, 8));
    tell(request, [8192, HOLE]);
  });
  t.same(beside, { count: 16, zero: true, hole: true, learnt: 16 }, 'a write elsewhere is nothing');
  const failed = ask(holes, asked, (request) => {
    request.error = 22;
    request.onEnd(request);
  });
  t.same(failed, nothing);
  const lost = ask(holes, asked, () => holes.abandon());
  t.same(lost, nothing);
  tell(asked.at(-1)!, [8192, HOLE]);
  t.pass('an answer that comes too late is ignored');
});
