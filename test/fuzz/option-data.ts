/** What is wrong with the data of an option, by the text of the NBD protocol (2.5). */

export const STRING_MAX = 4096;

/** Of INFO and GO; null for nothing. */
export function infoRequestFault(data: Buffer): string | null {
  if (data.length < 6) return 'too short';
  const nameLength = data.readUInt32BE(0);
  if (nameLength > data.length - 6) return 'name does not fit';
  if (data.length !== 4 + nameLength + 2 + 2 * data.readUInt16BE(4 + nameLength)) return 'count';
  return stringFault(data.subarray(4, 4 + nameLength));
}

/** Of LIST_META_CONTEXT and SET_META_CONTEXT; null for nothing. */
export function metaRequestFault(data: Buffer): string | null {
  if (data.length < 8) return 'too short';
  const nameLength = data.readUInt32BE(0);
  if (nameLength > data.length - 8) return 'name does not fit';
  const fault = stringFault(data.subarray(4, 4 + nameLength));
  if (fault !== null) return fault;
  const count = data.readUInt32BE(4 + nameLength);
  let at = 8 + nameLength;
  for (let i = 0; i < count; i++) {
    if (data.length - at < 4) return 'a query is missing';
    const length = data.readUInt32BE(at);
    if (length > data.length - at - 4) return 'a query does not fit';
    const queryFault = stringFault(data.subarray(at + 4, at + 4 + length));
    if (queryFault !== null) return queryFault;
    at += 4 + length;
  }
  return at === data.length ? null : 'something is left over';
}

/** The export that well-formed data of these four options name. */
export function nameOf(data: Buffer): string {
  return data.toString('utf8', 4, 4 + data.readUInt32BE(0));
}

function stringFault(bytes: Buffer): string | null {
  if (bytes.length > STRING_MAX) return 'string is too long';
  if (bytes.includes(0)) return 'string has a NUL';
  return Buffer.from(bytes.toString('utf8')).equals(bytes) ? null : 'string is no UTF-8';
}
