/** Opens a device on another NBD server by its name, and says what is wrong where it cannot. */

import type { Clock } from '../../base/clock.ts';
import { EIO, EROFS } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import { NBD_HANDSHAKE_MS_MAX } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import { printable } from '../../base/printable.ts';
import { SECTOR_SIZE, sectorsToBytes } from '../../base/units.ts';
import { OPTION_REPLIES, TRANSMISSION_FLAGS } from '../constants.ts';
import { SocketTransport } from '../socket-transport.ts';
import type { TlsUpgrade } from '../tls.ts';
import type { UriTls } from '../uri.ts';
import { NbdDevice } from './nbd-device.ts';
import { NbdConnectionError, NbdRefusal } from './nbd-error.ts';
import { sizeOf } from './remote-facts.ts';
import { ALLOCATION_CONTEXT } from './remote-holes.ts';
import { RemoteLink } from './remote-link.ts';
import { parseRemoteName, type RemoteName, remoteIdentity } from './remote-name.ts';

export interface OpenNbdDeviceOptions {
  readonly readOnly: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Reads the files of credentials that the name speaks of. @throws UserError */
  readonly loadTls: (tls: UriTls, remote: RemoteName, log: Logger) => TlsUpgrade;
  /** Looks once, whatever the name says of coming back. */
  readonly forOneLook?: boolean;
  /** Memory for unflushed writes; a default of its own. */
  readonly unflushedBytesMax?: number;
}

/** @throws UserError; its code names the reason, e.g. `remote-unreachable`. */
export async function openNbdDevice(
  name: string,
  options: OpenNbdDeviceOptions,
): Promise<NbdDevice> {
  const remote = parseRemoteName(name);
  const { clock, log, readOnly } = options;
  const tls = remote.tls === null ? null : options.loadTls(remote.tls, remote, log);
  const reconnectMs = options.forOneLook === true ? 0 : remote.reconnectMs;
  const connections = options.forOneLook === true ? 1 : remote.connections;
  let link: RemoteLink;
  try {
    link = await RemoteLink.open({
      name: printable(name, 200),
      connect: (onError) => SocketTransport.connect(remote.address, onError),
      tls,
      exportName: remote.exportName,
      form: 'structured',
      contexts: [ALLOCATION_CONTEXT],
      connections,
      handshakeMsMax: NBD_HANDSHAKE_MS_MAX,
      reconnectMs,
      timeoutMs: remote.timeoutMs,
      clock,
      log,
    });
  } catch (error) {
    throw openError(name, error);
  }
  const problem = problemOf(name, link, readOnly);
  if (problem !== null) {
    await link.close();
    throw problem;
  }
  const device = new NbdDevice({
    name,
    identity: remoteIdentity(remote),
    link,
    connections,
    readOnly,
    reconnects: reconnectMs > 0,
    ...(options.unflushedBytesMax === undefined
      ? {}
      : { unflushedBytesMax: options.unflushedBytesMax }),
  });
  if (!readOnly && device.capabilities.flush === false) {
    // As Linux has it; a server that keeps writes in memory all the same is a danger to itself.
    log.warn(`"${printable(name, 200)}" offers no FLUSH: its writes are taken to be durable`);
  }
  return device;
}

function problemOf(name: string, link: RemoteLink, readOnly: boolean): UserError | null {
  const { negotiated } = link;
  const cannot = `Cannot open "${printable(name, 200)}"`;
  const size = sectorsToBytes(sizeOf(negotiated));
  if (size === 0) {
    return new UserError(
      'device-too-short',
      `${cannot}: size is ${negotiated.size} bytes, must be at least ${SECTOR_SIZE}`,
    );
  }
  const isReadOnly = (negotiated.transmissionFlags & TRANSMISSION_FLAGS.READ_ONLY) !== 0;
  if (isReadOnly && !readOnly) {
    return new UserError('device-read-only', `${cannot}: its server allows no writes`, {
      errno: EROFS,
      hint: 'With --read-only nothing is opened for writing.',
    });
  }
  return null;
}

function openError(name: string, error: unknown): unknown {
  if (!(error instanceof NbdConnectionError)) return error;
  const refusal = error instanceof NbdRefusal ? error.reply : null;
  const hint =
    refusal === OPTION_REPLIES.ERR_TLS_REQD
      ? { hint: 'Write nbds:// or nbds+unix:// for a server that wants TLS.' }
      : {};
  return new UserError(
    refusal === null ? 'remote-unreachable' : 'remote-refused',
    `Cannot open "${printable(name, 200)}": ${error.message}`,
    { errno: EIO, cause: error, ...hint },
  );
}
