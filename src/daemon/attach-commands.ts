/** The command lines with which people attach what we serve, and its URI as others can use it. */

import { resolve } from 'node:path';
import type { ListenAddress } from '../nbd/transport.ts';
import { formatNbdUri } from '../nbd/uri.ts';

/** Good in every working directory. */
export function uriOf(address: ListenAddress, exportName: string): string {
  if (address.kind === 'tcp') return formatNbdUri(address, exportName);
  return formatNbdUri({ kind: 'unix', path: resolve(address.path) }, exportName);
}

/** Ready to paste, one for each program that people use. */
export function attachCommands(address: ListenAddress, exportName: string): string[] {
  const uri = quote(uriOf(address, exportName));
  const name = exportName === '' ? '' : ` -N ${quote(exportName)}`;
  const where =
    address.kind === 'unix'
      ? `-unix ${quote(resolve(address.path))}`
      : `${reachable(address.host)} ${address.port}`;
  return [
    `nbdinfo ${uri}`,
    `qemu-img info ${uri}`,
    `sudo nbd-client ${where} /dev/nbd0${name}`,
    `sudo qemu-nbd --format=raw --connect=/dev/nbd0 ${uri}`,
    `mkdir -p mnt && nbdfuse mnt/disk ${uri}`,
  ];
}

/** A word for the shell. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A server on every address is reached on this machine by the usual one. */
function reachable(host: string): string {
  return host === '::' || host === '0.0.0.0' ? 'localhost' : host;
}
