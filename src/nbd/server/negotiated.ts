/**
 * What one connection agreed in its handshake; fixed from GO on.
 */

import type { Export } from './export.ts';
import type { SelectedContext } from './meta-context.ts';
import type { ReplyStyle } from './reply-style.ts';

export interface Negotiated {
  readonly export: Export;
  /** The size that the client was told, in bytes: it stays, whatever becomes of the device. */
  readonly size: number;
  readonly transmissionFlags: number;
  readonly replyStyle: ReplyStyle;
  /** What BLOCK_STATUS answers with. */
  readonly contexts: readonly SelectedContext[];
}
