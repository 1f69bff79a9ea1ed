/** The words of the command line about who may connect, how many at once, and how long. */

import { UserError } from '../../base/failure.ts';
import { NBD_CONNECTIONS_MAX, NBD_HANDSHAKE_MS_MAX } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import { printable } from '../../base/printable.ts';
import { AddressFilter } from '../../nbd/server/address-filter.ts';
import { planTls, type TlsSettings, type TlsWords } from '../tls/tls-settings.ts';

export interface ClientWords extends TlsWords {
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly maxConnections?: string;
  readonly maxConnectionsPerExport?: string;
  /** In seconds. */
  readonly handshakeTimeout?: string;
}

export interface ClientSettings {
  readonly filter: AddressFilter;
  readonly connectionsMax: number;
  readonly connectionsPerExportMax: number;
  /** 0 for no limit. */
  readonly handshakeMsMax: number;
  readonly tls: TlsSettings;
}

const CONNECTIONS_LARGEST = 10_000;
const HANDSHAKE_SECONDS_LARGEST = 86_400;

/** @throws UserError naming the option. */
export function planClients(words: ClientWords, log: Logger): ClientSettings {
  const { allow = [], deny = [], maxConnections, maxConnectionsPerExport } = words;
  const connectionsMax = parseWithin('--max-connections', maxConnections, {
    ...{ min: 1, max: CONNECTIONS_LARGEST, unset: NBD_CONNECTIONS_MAX },
  });
  return {
    filter: new AddressFilter(allow, deny),
    connectionsMax,
    connectionsPerExportMax: parseWithin('--max-connections-per-export', maxConnectionsPerExport, {
      ...{ min: 1, max: CONNECTIONS_LARGEST, unset: connectionsMax },
    }),
    handshakeMsMax:
      1000 *
      parseWithin('--handshake-timeout', words.handshakeTimeout, {
        ...{ min: 0, max: HANDSHAKE_SECONDS_LARGEST, unset: NBD_HANDSHAKE_MS_MAX / 1000 },
      }),
    tls: planTls(words, log),
  };
}

function parseWithin(
  option: string,
  word: string | undefined,
  { min, max, unset }: { readonly min: number; readonly max: number; readonly unset: number },
): number {
  if (word === undefined) return unset;
  const value = /^[0-9]{1,9}$/.test(word) ? Number(word) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UserError(
    'bad-limit',
    `Cannot serve: ${option} is "${printable(word)}", must be ${min} to ${max}`,
  );
}
