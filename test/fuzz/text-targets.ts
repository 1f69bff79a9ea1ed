/** What is parsed in this product, besides NBD. */

import { parseDeviceSpec } from '../../src/block/device-spec.ts';
import {
  decodeLogHeader,
  describeLogHeader,
  trustedRegions,
} from '../../src/dirtylog/log-header.ts';
import { type UlogMessage, UlogReader } from '../../src/dirtylog/userspace/ulog-codec.ts';
import { decodeUlogRequest } from '../../src/dirtylog/userspace/ulog-payloads.ts';
import { parseTable, type TableLine, textOf } from '../../src/dm/table-line.ts';
import { type FaultSpec, formatFaultSpec, parseFaultSpec } from '../../src/fault/fault-spec.ts';
import {
  parseFeatures,
  parseLeg,
  parseLegCount,
  parseLogArgs,
} from '../../src/mirror/mirror-args.ts';
import { parseRemoteName } from '../../src/nbd/client/remote-name.ts';
import { formatNbdUri, type NbdUri, parseNbdUri } from '../../src/nbd/uri.ts';
import type { FuzzTarget } from './fuzz-case.ts';
import { textTarget } from './text-target.ts';

const NUMBERS = ['0', '1', '-1', '4294967295', '4294967296', '18446744073709551616', '1e3', '0x10'];
const SIGNS = [
  ' ',
  '\t',
  '\n',
  '\\',
  '"',
  "'",
  '%00',
  '%',
  '\0',
  '\x07',
  ',',
  ':',
  '/',
  '=',
  '\u00fc',
];

const TABLE = textTarget({
  name: 'table',
  about: 'table lines, and the arguments of a mirror',
  seeds: [
    '0 2048 mirror core 2 1024 nosync 2 a.img 0 b.img 0',
    '0 131072 mirror disk 2 log.img 1024 2 a.img 0 b.img 128 1 handle_errors',
    '0 64 mirror disk 3 l 2 sync 3 a 0 b 0 c 0 2 handle_errors keep_log\n64 8 zero',
    '0 8 linear my\\ disk 0\n8 8 error\n16 8 striped 2 8 a 0 b 0',
    '0 8 mirror userspace 3 clustered-disk 4 uuid log 1024 2 a 0 b 0',
  ],
  words: [...NUMBERS, ...SIGNS, 'mirror', 'core', 'disk', 'sync', 'nosync', 'handle_errors', '#'],
  parse: (input) => {
    const lines = parseTable(input.toString());
    for (const { type, args } of lines) if (type === 'mirror') parseMirror(args);
    return lines;
  },
  print: (lines: readonly TableLine[]) => Buffer.from(textOf(lines)),
});

function parseMirror(words: readonly string[]): void {
  const { rest } = parseLogArgs(words);
  const count = parseLegCount(rest);
  for (let index = 0; index < count; index++) parseLeg(rest, index);
  parseFeatures(rest.slice(1 + 2 * count));
}

const LOG_HEADER = textTarget({
  name: 'log-header',
  about: 'the first block of a disk log',
  seeds: [headerBytes(0x4d695272, 2, 128n), headerBytes(0x4d695272, 1, 2n ** 64n - 1n)],
  words: ['\0', '\x07', '\u00ff'],
  parse: (input) => {
    const image = Buffer.concat([input, Buffer.alloc(1024)]).subarray(0, 1024);
    const header = decodeLogHeader(image);
    return [describeLogHeader(header), trustedRegions(header)];
  },
});

function headerBytes(magic: number, version: number, regions: bigint): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(version, 4);
  bytes.writeBigUInt64LE(regions, 8);
  return bytes;
}

const URI = textTarget({
  name: 'uri',
  about: 'NBD URIs',
  seeds: [
    'nbd://localhost/data',
    'nbd://[::1]:10809//x%20y',
    'nbd+unix:///data?socket=/tmp/s',
    'nbds://user@host:1/?tls-hostname=h&tls-verify-peer=1&tls-certificates=/c',
    'nbds+unix:///?socket=%00name&tls-psk-file=/k',
  ],
  words: [...NUMBERS, ...SIGNS, '?', '&', '@', '[', ']', '//', 'nbds', '+unix', 'socket=', '%2F'],
  parse: (input) => {
    const { address, exportName, tls } = parseNbdUri(input.toString());
    if (address.kind === 'unix') return { address, exportName, tls };
    // Where a server listens everywhere, its printed URI is one that can be connected to.
    const host = address.host.replace(/^0\.0\.0\.0$/, '127.0.0.1').replace(/^::$/, '::1');
    return { address: { ...address, host }, exportName, tls };
  },
  print: ({ address, exportName, tls }: NbdUri) =>
    Buffer.from(formatNbdUri(address, exportName, tls)),
});

const DEVICE = textTarget({
  name: 'device',
  about: 'names of devices, remote ones too',
  seeds: [
    'a.img',
    '8:16',
    'file:a.img,size=1G',
    'memory:scratch,size=64M',
    'nbd://host/x?reconnect-delay=5&connections=2',
  ],
  words: [...NUMBERS, ...SIGNS, 'size=', 'memory:', 'file:', 'K', '.5', 'T', '?reconnect-delay='],
  parse: (input) => {
    const spec = parseDeviceSpec(input.toString());
    if (input.toString().startsWith('nbd')) parseRemoteName(input.toString());
    return spec;
  },
});

const FAULT = textTarget({
  name: 'fault',
  about: 'what a fault is asked to be',
  seeds: [
    'error --op write --count 3',
    'hang',
    'offline',
    'delay 20 --op read --sectors 0-99',
    'error --rate 0.5 --seed 3 --after 2 --errno ENOSPC',
  ],
  words: [...NUMBERS, ...SIGNS, '--op', '--rate', '--count', '--sectors', 'EIO', '-', '%'],
  parse: (input) => parseFaultSpec(input.toString().split(' ')),
  print: (spec: FaultSpec) => Buffer.from(formatFaultSpec(spec)),
});

const ULOG = textTarget({
  name: 'ulog',
  about: 'messages of a userspace log, and what they ask',
  seeds: Array.from({ length: 18 }, (_, type) => ulogBytes(type, Buffer.alloc(type))),
  words: ['\0\0\0\0', '\x01\0\0\0', '\x08\0\0\0\0\0\0\0', '\u00ff', '\x07', 'clustered-disk 2 '],
  parse: (input) => {
    const reader = new UlogReader();
    // In two pieces, as a stream may bring it.
    const half = input.length >> 1;
    const asked: boolean[] = [];
    const take = ({ requestType, data }: UlogMessage): void => {
      asked.push(decodeUlogRequest(requestType, data).problem === null);
    };
    for (const piece of [input.subarray(0, half), input.subarray(half)]) reader.push(piece, take);
    return asked;
  },
});

function ulogBytes(type: number, data: Buffer): Buffer {
  const bytes = Buffer.alloc(160);
  bytes.writeUInt32LE(2, 140);
  bytes.writeUInt32LE(type, 152);
  bytes.writeUInt32LE(data.length, 156);
  return Buffer.concat([bytes, data]);
}

export const TEXT_TARGETS: readonly FuzzTarget[] = [TABLE, LOG_HEADER, URI, DEVICE, FAULT, ULOG];
