/**
 * Which addresses may connect. Addresses and masks are parsed and compared as numbers: matching
 * their text let strangers into nbd-server (CVE-2013-6410).
 */

import { BlockList, isIP } from 'node:net';
import { UserError } from '../../base/failure.ts';
import { printable } from '../../base/printable.ts';

/** Apart, or `::/0` would hold all addresses of IPv4 as well. */
interface AddressLists {
  readonly ipv4: BlockList;
  readonly ipv6: BlockList;
}

export class AddressFilter {
  readonly #allowed: AddressLists | null;
  readonly #denied: AddressLists;

  /**
   * @param allowed addresses, or ADDRESS/BITS; empty for all.
   * @param denied win over what is allowed.
   * @throws UserError with the code `bad-address`.
   */
  constructor(allowed: readonly string[], denied: readonly string[]) {
    this.#allowed = allowed.length === 0 ? null : listOf('--allow', allowed);
    this.#denied = listOf('--deny', denied);
  }

  /** `null` is a peer without an address, such as one on a unix socket: files have permissions. */
  admits(address: string | null): boolean {
    if (address === null) return true;
    const plain = unmapped(address);
    const family = isIP(plain) === 6 ? 'ipv6' : 'ipv4';
    if (this.#denied[family].check(plain, family)) return false;
    return this.#allowed?.[family].check(plain, family) ?? true;
  }
}

function listOf(option: string, words: readonly string[]): AddressLists {
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const word of words) {
    const match = /^([0-9a-fA-F:.]+)(?:\/([0-9]{1,3}))?$/.exec(word);
    const address = unmapped(match?.[1] ?? '');
    const isMapped = address !== match?.[1];
    const family = isIP(address);
    const widest = family === 6 ? 128 : 32;
    // The first 96 bits of an IPv4 address in IPv6 say just that.
    const bits = match?.[2] === undefined ? widest : Number(match[2]) - (isMapped ? 96 : 0);
    if (match === null || family === 0 || bits < 0 || bits > widest) {
      throw new UserError(
        'bad-address',
        `Cannot serve: ${option} is "${printable(word)}", must be an address or ADDRESS/BITS`,
        { hint: 'For example 192.168.0.0/16 or fd00::/8.' },
      );
    }
    const name = family === 6 ? 'ipv6' : 'ipv4';
    lists[name].addSubnet(address, bits, name);
  }
  return lists;
}

/** An IPv4 client of a socket for both comes with an address of IPv6, which may name its link. */
function unmapped(address: string): string {
  const [plain = ''] = address.split('%');
  const dotted = /^::ffff:([0-9.]+)$/i.exec(plain)?.[1];
  if (dotted !== undefined) return dotted;
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(plain);
  if (hex === null) return plain;
  const [high, low] = [Number.parseInt(hex[1]!, 16), Number.parseInt(hex[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}
