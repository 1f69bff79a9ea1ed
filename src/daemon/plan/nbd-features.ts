/** Words of the command line about the protocol, understood. */

import { UserError } from '../../base/failure.ts';
import { ALL_FEATURES, type HandshakeFeatures } from '../../nbd/server/handshake-features.ts';
import type { ServeOptions } from './serve-options.ts';

/** @throws UserError naming the option. */
export function parseFeatures(options: ServeOptions): HandshakeFeatures {
  const { structured, extended, maskHandshake } = options;
  return {
    structuredReplies: structured ?? true,
    extendedHeaders: extended ?? true,
    handshakeFlags: ALL_FEATURES.handshakeFlags & parseMask(maskHandshake ?? '0xffff'),
  };
}

function parseMask(text: string): number {
  const mask = /^(?:0x[0-9a-f]{1,4}|[0-9]{1,5})$/i.test(text) ? Number(text) : Number.NaN;
  if (mask <= 0xffff) return mask;
  throw new UserError(
    'bad-mask',
    `Cannot serve: --mask-handshake is "${text}", must be a number from 0 to 0xffff`,
  );
}
