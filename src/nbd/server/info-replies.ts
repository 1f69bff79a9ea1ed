/** What INFO and GO tell of an export, in front of their ACK (NBD protocol, 2.4 and 2.5). */

import { NBD_PAYLOAD_BYTES_ADVERTISED } from '../../base/limits.ts';
import { encodeBlockSizeInfo, encodeExportInfo, encodeTextInfo } from '../codec/handshake-codec.ts';
import { INFOS } from '../constants.ts';
import type { Negotiated } from './negotiated.ts';

/** Any offset and length is served. */
const BLOCK_SIZES = {
  minimum: 1,
  preferred: 4096,
  maximum: NBD_PAYLOAD_BYTES_ADVERTISED,
} as const;

/** Size and block sizes always; `asked` are the infos that the client wants to have as well. */
export function encodeInfoReplies(
  option: number,
  negotiated: Negotiated,
  asked: ReadonlySet<number>,
): Buffer[] {
  const { size, transmissionFlags } = negotiated;
  const { name, description } = negotiated.export;
  const replies = [encodeExportInfo(option, size, transmissionFlags)];
  if (asked.has(INFOS.NAME)) replies.push(encodeTextInfo(option, INFOS.NAME, name));
  if (asked.has(INFOS.DESCRIPTION) && description !== '') {
    replies.push(encodeTextInfo(option, INFOS.DESCRIPTION, description));
  }
  return [...replies, encodeBlockSizeInfo(option, BLOCK_SIZES)];
}
