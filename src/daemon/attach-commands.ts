/** The command lines with which people attach what we serve, and its URI as others can use it. */

import { dirname, resolve } from 'node:path';
import type { ListenAddress } from '../nbd/transport.ts';
import { formatNbdUri, type UriTls } from '../nbd/uri.ts';

/** Good in every working directory. `tls`: as a client on this machine has it. */
export function uriOf(
  address: ListenAddress,
  exportName: string,
  tls: UriTls | null = null,
): string {
  const isFile = address.kind === 'unix' && !address.path.startsWith('\0');
  const place = isFile ? { ...address, path: resolve(address.path) } : address;
  return formatNbdUri(place, exportName, tls);
}

/** Ready to paste, one for each program that people use. */
export function attachCommands(
  address: ListenAddress,
  exportName: string,
  tls: UriTls | null = null,
): string[] {
  const uri = quote(uriOf(address, exportName, tls));
  if (tls !== null) return attachWithTls(address, exportName, tls, uri);
  return [
    `nbdinfo ${uri}`,
    `qemu-img info ${uri}`,
    `sudo nbd-client ${nbdClientWords(address, exportName)}`,
    `sudo qemu-nbd --format=raw --connect=/dev/nbd0 ${uri}`,
    `mkdir -p mnt && nbdfuse mnt/disk ${uri}`,
  ];
}

/** qemu knows no `nbds`; nbd-client knows no pre-shared keys. */
function attachWithTls(
  address: ListenAddress,
  exportName: string,
  { certificates, user = '', pskFile }: UriTls,
  uri: string,
): string[] {
  const objects: string[] = [];
  const nbdClient: string[] = [];
  if (certificates !== undefined) {
    const file = (name: string): string => quote(`${certificates}/${name}`);
    objects.push(`tls-creds-x509,id=t,endpoint=client,dir=${doubled(certificates)}`);
    const keyFiles = `-certfile ${file('client-cert.pem')} -keyfile ${file('client-key.pem')}`;
    const trust = `-cacertfile ${file('ca-cert.pem')} -tlshostname localhost`;
    nbdClient.push(`sudo nbd-client ${nbdClientWords(address, exportName)} ${keyFiles} ${trust}`);
  } else if (pskFile !== undefined) {
    const words = `dir=${doubled(dirname(pskFile))},username=${doubled(user)}`;
    objects.push(`tls-creds-psk,id=t,endpoint=client,${words}`);
  }
  const [where, hostname] =
    address.kind === 'unix'
      ? [
          `server.type=unix,server.path=${doubled(resolve(address.path))}`,
          ',tls-hostname=localhost',
        ]
      : [`host=${reachable(address.host)},port=${address.port}`, ''];
  const named = exportName === '' ? '' : `,export=${doubled(exportName)}`;
  const image = quote(`driver=nbd,${where},tls-creds=t${hostname}${named}`);
  return [
    `nbdinfo ${uri}`,
    ...objects.map((object) => `qemu-img info --object ${quote(object)} --image-opts ${image}`),
    ...nbdClient,
    `mkdir -p mnt && nbdfuse mnt/disk ${uri}`,
  ];
}

function nbdClientWords(address: ListenAddress, exportName: string): string {
  const name = exportName === '' ? '' : ` -N ${quote(exportName)}`;
  const where =
    address.kind === 'unix'
      ? `-unix ${quote(resolve(address.path))}`
      : `${reachable(address.host)} ${address.port}`;
  return `${where} /dev/nbd0${name}`;
}

/** A value among qemu's options. */
function doubled(text: string): string {
  return text.replaceAll(',', ',,');
}

/** A word for the shell. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A server on every address is reached on this machine by the usual one. */
function reachable(host: string): string {
  return host === '::' || host === '0.0.0.0' ? 'localhost' : host;
}
