/** Legs behind TLS: with certificates on both sides, and with keys; on other people's servers. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { toSector, toSectorCount } from '../../src/base/units.ts';
import { runBio } from '../../src/block/run-bio.ts';
import { SystemClock } from '../../src/daemon/system-clock.ts';
import { loadClientTls } from '../../src/daemon/tls/client-credentials.ts';
import type { NbdDevice } from '../../src/nbd/client/nbd-device.ts';
import { openNbdDevice } from '../../src/nbd/client/open-nbd-device.ts';
import { makeCertificates, renewCertificates } from '../support/certificates.ts';
import { type ForeignProgram, ForeignServer } from '../support/foreign-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';

const BYTES = 2 ** 21;

function open(name: string): Promise<NbdDevice> {
  return openNbdDevice(name, {
    readOnly: false,
    clock: new SystemClock(),
    log: silentLogger,
    loadTls: loadClientTls,
  });
}

/** Large and small, both ways, in parallel. */
async function use(t: Test, device: NbdDevice, image: string): Promise<void> {
  const all = Buffer.alloc(BYTES);
  for (let at = 0; at < BYTES; at += 4) all.writeUInt32LE(at, at);
  const pieces = [512, 65_536, 1_048_576, 4096, BYTES - 512 - 65_536 - 1_048_576 - 4096];
  let at = 0;
  const writes = pieces.map((size) => {
    const data = all.subarray(at, at + size);
    const place = { sector: toSector(at / 512), count: toSectorCount(size / 512) };
    at += size;
    return runBio(device, { op: 'write', ...place, data, fua: true });
  });
  t.strictSame(new Set(await Promise.all(writes)), new Set([0]));
  const data = new Uint8Array(BYTES);
  t.equal(await runBio(device, { op: 'read', count: toSectorCount(BYTES / 512), data }), 0);
  t.ok(all.equals(data));
  t.ok(all.equals(readFileSync(image)));
}

async function start(
  t: Test,
  program: ForeignProgram,
  words: readonly string[],
): Promise<ForeignServer> {
  const directory = tempDir(t);
  const image = join(directory, 'x.img');
  writeFileSync(image, Buffer.alloc(BYTES));
  const server = new ForeignServer(t, program, { directory, name: 'x', image, words });
  await server.start();
  return server;
}

for (const program of ['nbdkit', 'qemu-nbd'] as const) {
  t.test(`a device behind ${program} with certificates`, async (t) => {
    const pki = await makeCertificates(t);
    if (!requireTool(t, program) || pki === null) return;
    const credentials = `tls-creds-x509,id=t,dir=${pki},endpoint=server,verify-peer=yes`;
    const words =
      program === 'nbdkit'
        ? ['--tls=require', `--tls-certificates=${pki}`, '--tls-verify-peer']
        : ['--object', credentials, '--tls-creds', 't'];
    const server = await start(t, program, words);
    const name = (...parameters: string[]): string =>
      server.uri(...parameters).replace('nbd+unix', 'nbds+unix');
    const trusting = name(`tls-certificates=${pki}`, 'reconnect-delay=30');
    const device = await open(trusting);
    await use(t, device, server.image);
    await server.kill();
    const pending = runBio(device, { op: 'flush' });
    await renewCertificates(pki);
    await server.start();
    t.equal(await pending, 0, 'over a new connection, encrypted again, with what is believed now');
    await device.close();

    for (const [wrong, message] of [
      [server.uri(), /ERR_TLS_REQD/],
      [name(), /unable to verify|self.signed|unable to get/],
      [name(`tls-certificates=${pki}`, 'tls-hostname=other'), /not in the cert/],
      [name(`tls-certificates=${pki}/nowhere`), /nowhere\/ca-cert.pem" for TLS: it does not exist/],
      [name('tls-type=anon'), /tls-type is anon, must be x509 or psk/],
    ] as const) {
      await t.rejects(open(wrong), { name: 'UserError', message });
    }
  });
}

t.test('a device behind nbdkit with a pre-shared key', async (t) => {
  const pki = await makeCertificates(t);
  if (!requireTool(t, 'nbdkit') || pki === null) return;
  const server = await start(t, 'nbdkit', ['--tls=require', `--tls-psk=${pki}/keys.psk`]);
  const name = (file: string, user = ''): string =>
    server
      .uri(`tls-psk-file=${file}`)
      .replace('nbd+unix://', `nbds+unix://${user === '' ? '' : `${user}@`}`);
  const device = await open(name(`${pki}/keys.psk`));
  await use(t, device, server.image);
  await device.close();
  await t.rejects(open(name(`${pki}/wrong-psk/keys.psk`)), { message: /TLS: / });
  await t.rejects(open(name(`${pki}/keys.psk`, 'nobody')), { message: /no key of user "nobody"/ });
  await t.rejects(open(name(join(pki, 'ca-cert.pem'))), { message: /must be USER:HEXADECIMAL/ });
});
