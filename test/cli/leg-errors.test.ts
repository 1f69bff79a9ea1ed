/**
 * EIO and ENOSPC from a leg, from the log, from all legs, in every state in which a mirror or a
 * client can be, with a real process. Whatever happens: each request is answered, at the latest
 * when the table was replaced; what was acknowledged is there; other devices and new clients notice
 * nothing; and a mirror that got its devices back comes into sync.
 */

import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ControlClient } from '../../src/control/control-client.ts';
import { byEffort } from '../support/effort.ts';
import { differingRegions } from '../support/log-file.ts';
import * as wire from '../support/nbd-wire.ts';
import { NbdError, PlainNbdClient } from '../support/plain-nbd-client.ts';
import { ServerProcess } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const BLOCK = 4096;
const SECTORS = 4096;
const REGION_SECTORS = 128;
const REGIONS = SECTORS / REGION_SECTORS;
/** What a request may be answered, beside well: EIO and ENOSPC, by the numbers of NBD. */
const NBD_ERRORS = [5, 28];

const ERRNOS = byEffort({ quick: ['EIO'], standard: ['EIO', 'ENOSPC'], full: ['EIO', 'ENOSPC'] });
/** What fails. */
const VICTIMS: readonly (readonly string[])[] = [['leg0'], ['leg1'], ['log'], ['leg0', 'leg1']];

/** One mirror in trouble, and what its client was told. */
class Trouble {
  readonly directory: string;
  readonly control: ControlClient;
  readonly client: PlainNbdClient;
  readonly table: string;
  readonly #asked: Promise<void>[] = [];
  /** The byte of each block that was acknowledged, and those that may be there instead. */
  readonly #blocks = new Map<number, { acknowledged: number; possible: number[] }>();
  readonly #wrong: string[] = [];
  #lastByte = 0;
  #nextBlock = 0;

  private constructor(directory: string, place: TroublePlace) {
    this.directory = directory;
    this.control = place.control;
    this.client = place.client;
    this.table = place.table;
  }

  static async start(server: ServerProcess, control: ControlClient, t: Test): Promise<Trouble> {
    const directory = tempDir(t);
    const [a, b, log] = ['a.img', 'b.img', 'log.img'].map((name) => join(directory, name));
    writeFileSync(a!, Buffer.alloc(SECTORS * 512));
    writeFileSync(b!, Buffer.alloc(SECTORS * 512, 1));
    writeFileSync(log!, Buffer.alloc(65_536));
    const legs = `2 ${a} 0 ${b} 0 1 handle_errors`;
    const table = `0 ${SECTORS} mirror disk 2 ${log} ${REGION_SECTORS} ${legs}`;
    await ask(control, 'create', { device: 'data', table });
    const client = await server.connect('data');
    return new Trouble(directory, { control, client, table });
  }

  async inSync(): Promise<void> {
    await waitUntil('the mirror to be in sync', async () => {
      const { devices } = (await ask(this.control, 'status', { device: 'data' })) as StatusAnswer;
      const [, , , , , , synced, , health] = devices[0]!.targets[0]!.line.split(' ');
      return synced === `${REGIONS}/${REGIONS}` && health === 'AA';
    });
  }

  async fail(victims: readonly string[], fault: string): Promise<void> {
    for (const target of victims) {
      await ask(this.control, 'fault', { device: 'data', target, fault });
    }
  }

  /** So many writes, a read and a flush are on their way; each is judged when it is answered. */
  request(writes: number): void {
    for (let i = 0; i < writes; i++) {
      // In regions far apart, and several in each.
      const block = (this.#nextBlock * 67) % ((SECTORS * 512) / BLOCK);
      this.#nextBlock += 1;
      this.#write(block);
    }
    this.#judge('a read', this.client.read(0, BLOCK));
    this.flush();
  }

  flush(): void {
    this.#judge('a flush', this.client.flush());
  }

  /** The devices are well again, and the table is loaded anew, as whoever repairs it would do. */
  async repair(): Promise<void> {
    await ask(this.control, 'fault-remove', { all: true });
    await ask(this.control, 'load', { device: 'data', table: this.table });
    await ask(this.control, 'suspend', { device: 'data', noflush: true });
    await ask(this.control, 'resume', { device: 'data' });
  }

  /** Everything is answered; gives what is wrong with it. */
  async outcome(): Promise<string[]> {
    await Promise.all(this.#asked);
    await this.inSync();
    for (const [block, { acknowledged, possible }] of this.#blocks) {
      const data = await this.client.read(block * BLOCK, BLOCK);
      const isKnown = [acknowledged, ...possible].includes(data[0]!);
      const isWhole = data.equals(Buffer.alloc(BLOCK, data[0]!));
      if (!isKnown || !isWhole) this.#wrong.push(`block ${block} reads ${data[0]}`);
    }
    await this.client.close();
    await ask(this.control, 'remove', { device: 'data' });
    const legs = ['a.img', 'b.img'].map((name) => join(this.directory, name)) as [string, string];
    const differing = differingRegions(legs, REGION_SECTORS * 512);
    if (differing.length > 0) this.#wrong.push(`regions ${differing} differ`);
    return this.#wrong;
  }

  #write(block: number): void {
    this.#lastByte = (this.#lastByte % 250) + 1;
    const byte = this.#lastByte;
    const known = this.#blocks.get(block) ?? { acknowledged: 0, possible: [] };
    this.#blocks.set(block, known);
    known.possible.push(byte);
    const written = this.client.write(block * BLOCK, Buffer.alloc(BLOCK, byte)).then(() => {
      known.acknowledged = byte;
      known.possible = known.possible.filter((other) => other !== byte);
    });
    this.#judge(`write of block ${block}`, written);
  }

  #judge(what: string, request: Promise<unknown>): void {
    const judged = request.then(
      () => {},
      (error: unknown) => {
        if (error instanceof NbdError && NBD_ERRORS.includes(error.code)) return;
        this.#wrong.push(`${what}: ${String(error)}`);
      },
    );
    this.#asked.push(judged);
  }
}

interface TroublePlace {
  readonly control: ControlClient;
  readonly client: PlainNbdClient;
  readonly table: string;
}

interface StatusAnswer {
  readonly devices: readonly { readonly targets: readonly { readonly line: string }[] }[];
}

async function ask(control: ControlClient, verb: string, input: object): Promise<unknown> {
  const { status, body } = await control.call(verb, input, 'json');
  if (status !== 200) throw new Error(`${verb}: ${status} ${body}`);
  return JSON.parse(body) as unknown;
}

/** `fail` lets the victims fail; a state calls it at its moment. */
interface Scene {
  readonly trouble: Trouble;
  readonly server: ServerProcess;
  fail(): Promise<void>;
}

const STATES: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  idle: async ({ trouble, fail }) => {
    await trouble.inSync();
    await fail();
    trouble.request(16);
  },
  'in the handshake': async ({ trouble, server, fail }) => {
    await trouble.inSync();
    const socket = connect({ path: server.socket }).on('error', () => {});
    socket.write(Buffer.concat([wire.clientFlags(), wire.option(8)]));
    await fail();
    socket.write(wire.go('data'));
    await new Promise((resolve) => socket.once('data', resolve));
    socket.destroy();
    trouble.request(4);
  },
  writing: async ({ trouble, fail }) => {
    await trouble.inSync();
    trouble.request(64);
    await fail();
    trouble.request(64);
  },
  'with held writes': async ({ trouble, fail }) => {
    await trouble.inSync();
    await trouble.fail(['leg1'], 'error --op write --count 1');
    trouble.request(16);
    await waitUntil('the leg to have failed', async () => {
      const { faults } = (await ask(trouble.control, 'fault-list', {})) as {
        faults: readonly { readonly fired: number }[];
      };
      return faults[0]!.fired > 0;
    });
    await fail();
    trouble.request(16);
  },
  recovering: async ({ trouble, fail }) => {
    await fail();
    trouble.request(32);
  },
  'recovering slowly': async ({ trouble, fail }) => {
    await trouble.fail(['leg1'], 'delay --ms 5 --op write');
    trouble.request(8);
    await fail();
    trouble.request(8);
  },
  flushing: async ({ trouble, fail }) => {
    await trouble.inSync();
    await trouble.fail(['leg0', 'log'], 'delay --ms 20 --op flush');
    trouble.request(4);
    trouble.flush();
    await fail();
    trouble.flush();
  },
  suspended: async ({ trouble, fail }) => {
    await trouble.inSync();
    await ask(trouble.control, 'suspend', { device: 'data' });
    trouble.request(8);
    await fail();
    await ask(trouble.control, 'resume', { device: 'data' });
    trouble.request(8);
  },
  'suspended without a flush': async ({ trouble, fail }) => {
    await trouble.inSync();
    trouble.request(8);
    await ask(trouble.control, 'suspend', { device: 'data', noflush: true });
    await fail();
    trouble.request(8);
    await ask(trouble.control, 'resume', { device: 'data' });
  },
};

/** Another device, and a client that comes just now. */
async function othersAreServed({ server, trouble }: Scene): Promise<void> {
  const client = await server.connect('other');
  const data = Buffer.alloc(BLOCK, 0x33);
  await client.write(0, data);
  if (!(await client.read(0, BLOCK)).equals(data)) throw new Error('another device lost a write');
  await client.close();
  const late = await PlainNbdClient.connect({ path: server.socket }, 'data');
  late.vanish();
  await ask(trouble.control, 'status', { device: 'data' });
}

for (const [state, run] of Object.entries(STATES)) {
  t.test(`A leg or a log fails: ${state}`, async (t) => {
    const directory = tempDir(t);
    const args = ['--control', join(directory, 'ctl'), '-q'];
    const server = await ServerProcess.start(t, { directory, args });
    const address = { kind: 'unix', path: join(directory, 'ctl') } as const;
    const control = new ControlClient({ address });
    await ask(control, 'create', { device: 'other', table: '0 64 linear memory:other,size=32K 0' });
    for (const victims of VICTIMS) {
      for (const errno of ERRNOS) {
        const trouble = await Trouble.start(server, control, t);
        const fail = (): Promise<void> => trouble.fail(victims, `error --errno ${errno}`);
        const scene = { trouble, server, fail };
        await run(scene);
        await othersAreServed(scene);
        await trouble.repair();
        t.same(await trouble.outcome(), [], `${victims.join(' and ')} with ${errno}`);
      }
    }
    await server.stop();
  });
}
