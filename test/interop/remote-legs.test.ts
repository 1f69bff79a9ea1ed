/**
 * Legs and logs that live on other people's NBD servers, which are killed with -9 under load and
 * started again. Every write that was acknowledged reads back, and the legs end equal.
 */

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Prng } from '../../src/base/prng.ts';
import { ControlClient } from '../../src/control/control-client.ts';
import { AcknowledgedWrites } from '../support/acknowledged-writes.ts';
import { COMMAND_WORDS } from '../support/command.ts';
import { byEffort } from '../support/effort.ts';
import { FOREIGN_SERVERS, type ForeignProgram, ForeignServer } from '../support/foreign-server.ts';
import type { PlainNbdClient } from '../support/plain-nbd-client.ts';
import { runProgram } from '../support/run-program.ts';
import { ServerProcess } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { waitUntil } from '../support/wait-until.ts';

const MIB = 2 ** 20;
const SIZE = 16 * MIB;
const IN_FLIGHT = 16;
const KILLS = byEffort({ quick: 1, standard: 4, full: 40 });
const SEED = Number(process.env.TEST_SEED ?? 20_240_117);

class Rig {
  readonly directory: string;
  readonly writes: AcknowledgedWrites;
  readonly prng = new Prng(SEED);
  readonly #test: Test;

  constructor(t: Test) {
    this.#test = t;
    this.directory = tempDir(t);
    this.writes = new AcknowledgedWrites({ sizeBytes: SIZE, prng: this.prng });
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  /** A server over a new file. */
  async foreign(
    program: ForeignProgram,
    name: string,
    size = SIZE,
    words: readonly string[] = [],
  ): Promise<ForeignServer> {
    const image = this.file(`${name}.img`);
    writeFileSync(image, '');
    truncateSync(image, size);
    const place = { directory: this.directory, name, image, words };
    const server = new ForeignServer(this.#test, program, place);
    await server.start();
    return server;
  }

  serve(...words: readonly string[]): Promise<ServerProcess> {
    return ServerProcess.start(this.#test, {
      directory: this.directory,
      args: [
        ...['--region-size', '64K', '--handle-errors', '--name', 'data'],
        ...['--control', this.file('ctl'), ...words],
      ],
    });
  }

  async ask(verb: string, input: object = {}): Promise<string> {
    const client = new ControlClient({ address: { kind: 'unix', path: this.file('ctl') } });
    const { status, body } = await client.call(verb, { device: 'data', ...input }, 'text');
    if (status !== 200) throw new Error(body);
    return body.trim();
  }

  inSync(): Promise<void> {
    return waitUntil('the mirror', async () => / (\d+)\/\1 1 A+ /.test(await this.ask('status')));
  }

  /** Writes until `during` is over, and until some more have been acknowledged. */
  async underLoad(client: PlainNbdClient, during: () => Promise<void>): Promise<void> {
    let ended = 0;
    const load = this.writes.writeUntilLost(client, {
      inFlight: IN_FLIGHT,
      onEnd: () => {
        ended += 1;
      },
    });
    const more = (): Promise<void> => {
      const wanted = ended + this.prng.between(100, 500);
      return waitUntil('writes', () => ended >= wanted);
    };
    await more();
    await during();
    await more();
    client.vanish();
    await load;
  }
}

function equal(one: string, other: string): boolean {
  return readFileSync(one).subarray(0, SIZE).equals(readFileSync(other).subarray(0, SIZE));
}

for (const program of FOREIGN_SERVERS) {
  t.test(`${program} as leg and log, killed under load, with reconnect-delay`, async (t) => {
    if (!requireTool(t, program)) return;
    const rig = new Rig(t);
    const leg = await rig.foreign(program, 'leg');
    const log = await rig.foreign(program, 'log', MIB);
    const words = [
      ...['--leg', rig.file('a'), '--leg', leg.uri('reconnect-delay=60'), '--size', `${SIZE}`],
      ...['--log', `disk:${log.uri('reconnect-delay=60')}`, '--create'],
    ];
    const server = await rig.serve(...words);
    t.match(await rig.ask('status'), `${leg.uri('reconnect-delay=60')} `, 'named as in the table');
    await rig.inSync();
    const client = await server.connect('data');
    await rig.underLoad(client, async () => {
      for (let kill = 0; kill < KILLS; kill++) {
        const victim = rig.prng.pick([leg, log]);
        await victim.kill();
        await victim.start();
        await waitUntil('the connection', () => {
          const [lost, back] = [/ is lost/g, / is back/g].map(
            (words) => server.output.match(words)?.length ?? 0,
          );
          return back === kill + 1 && lost === kill + 1;
        });
      }
    });
    t.match(await rig.ask('status'), / AA 3 disk .* A$/, 'nobody has noticed');
    const reader = await server.connect('data');
    t.strictSame(await rig.writes.broken(reader), []);
    await reader.close();
    await server.kill();
    const uri = log.uri();
    const shown = await runProgram([...COMMAND_WORDS, 'log', 'show', uri]);
    t.match(shown, { status: 0, stdout: /magic 0x4d695272, version 2, 256 regions/ });
    const again = await rig.serve(...words);
    await rig.inSync();
    await again.stop();
    const compare = [...COMMAND_WORDS, 'compare', rig.file('a'), leg.uri(), '--log', uri];
    t.match(await runProgram([...compare, '--region-size', '64K', '--size', `${SIZE}`]), {
      status: 0,
      stdout: /legs are equal/,
    });
    t.ok(equal(rig.file('a'), rig.file('leg.img')));
    t.comment(`${rig.writes.acknowledged} writes`);
  });

  t.test(`${program} as leg, killed under load: the same table brings it back`, async (t) => {
    if (!requireTool(t, program)) return;
    const rig = new Rig(t);
    const leg = await rig.foreign(program, 'leg');
    const server = await rig.serve(
      '--leg',
      rig.file('a'),
      '--leg',
      leg.uri(),
      '--create',
      '--size',
      `${SIZE}`,
    );
    await rig.inSync();
    const client = await server.connect('data');
    await rig.underLoad(client, async () => {
      await leg.kill();
      await waitUntil('the failure', async () => / AD /.test(await rig.ask('status')));
      t.match(server.output, /has failed: /);
      await leg.start();
      // As dmeventd does: the table once more. Writes are held until then.
      await rig.ask('load', { table: await rig.ask('table') });
      await rig.ask('suspend', { noflush: true });
      await rig.ask('resume');
    });
    await rig.inSync();
    const reader = await server.connect('data');
    t.strictSame(await rig.writes.broken(reader), []);
    await reader.close();
    await server.stop();
    t.ok(equal(rig.file('a'), rig.file('leg.img')));
  });

  t.test(`${program} as leg, killed under load: repaired with a spare elsewhere`, async (t) => {
    if (!requireTool(t, program)) return;
    const rig = new Rig(t);
    const leg = await rig.foreign(program, 'leg');
    const spare = await rig.foreign(program, 'spare', 2 * SIZE);
    const server = await rig.serve(
      ...['--leg', rig.file('a'), '--leg', leg.uri(), '--spare', spare.uri(), '--create'],
      ...['--image-fault-policy', 'allocate', '--size', `${SIZE}`],
    );
    await rig.inSync();
    const client = await server.connect('data');
    await rig.underLoad(client, () => leg.kill());
    await rig.inSync();
    t.match(await rig.ask('table'), `${spare.uri()} 0`);
    const reader = await server.connect('data');
    t.strictSame(await rig.writes.broken(reader), []);
    await reader.close();
    await server.stop();
    t.ok(equal(rig.file('a'), rig.file('spare.img')));
  });
}
