/**
 * Which of the protocol's features a server offers. Less than all is for people who test how their
 * clients fall back.
 */

import { HANDSHAKE_FLAGS } from '../constants.ts';

export interface HandshakeFeatures {
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  /** Bits of `HANDSHAKE_FLAGS`. */
  readonly handshakeFlags: number;
}

export const ALL_FEATURES: HandshakeFeatures = {
  structuredReplies: true,
  extendedHeaders: true,
  handshakeFlags: HANDSHAKE_FLAGS.FIXED_NEWSTYLE | HANDSHAKE_FLAGS.NO_ZEROES,
};
