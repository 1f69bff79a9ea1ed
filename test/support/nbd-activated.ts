/**
 * A program: serves a megabyte of memory on the listening socket at descriptor 3, until SIGTERM.
 * The export's description says where that is.
 */

import { silentLogger } from '../../src/base/log.ts';
import { MemoryDevice } from '../../src/block/memory-device.ts';
import { NbdServer } from '../../src/nbd/server/server.ts';
import { RealClock } from './nbd-clock.ts';

const LISTEN_FDS_START = 3;

const device = new MemoryDevice({ sizeSectors: 2048 });
const server = new NbdServer({
  clock: new RealClock(),
  log: silentLogger,
});
const address = await server.listenFd(LISTEN_FDS_START);
const description = address.kind === 'unix' ? address.path : `port ${address.port}`;
server.addExport({ name: 'data', description, device });
process.stderr.write('ready\n');
process.once('SIGTERM', () => void server.stop({ graceMs: 1000 }));
