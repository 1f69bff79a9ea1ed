/** What goes to a client as the text of an error. */

/** At most `bytesMax` bytes of UTF-8, cut between characters, on one line. */
export function errorText(text: string, bytesMax: number): Buffer {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  const bytes = Buffer.from(text.replace(/[\u0000-\u001f\u007f]/g, ' '));
  let end = Math.min(bytes.length, bytesMax);
  // Bytes 10xxxxxx continue a character.
  while (end < bytes.length && end > 0 && (bytes[end]! & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}
