/**
 * What one connection agreed in its handshake; fixed from GO on. Metadata contexts and the form of
 * headers belong here as well once they can be negotiated.
 */

import type { Export } from './export.ts';

export interface Negotiated {
  readonly export: Export;
  /** The size that the client was told, in bytes: it stays, whatever becomes of the device. */
  readonly size: number;
  readonly transmissionFlags: number;
  /** READ is answered by chunks, and errors carry text. */
  readonly structuredReplies: boolean;
}
