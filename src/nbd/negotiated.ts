/**
 * What one connection agreed in its handshake; fixed from GO on.
 */

import type { Export } from './export.ts';

/**
 * - `structured`: READ is answered by chunks, and errors carry text. - `extended`: so is everything,
 *   and headers of requests and chunks have 64-bit lengths.
 */
export type ReplyStyle = 'simple' | 'structured' | 'extended';

export interface Negotiated {
  readonly export: Export;
  /** The size that the client was told, in bytes: it stays, whatever becomes of the device. */
  readonly size: number;
  readonly transmissionFlags: number;
  readonly replyStyle: ReplyStyle;
}
