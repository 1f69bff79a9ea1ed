/** Text that came from a client, or goes to one: one line, no control characters, cut to a size. */

/** Shows control characters and quotes as escapes, so that a client cannot forge a log line. */
export function printable(text: string, charactersMax = 80): string {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029"\\]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** At most `bytesMax` bytes of UTF-8, cut between characters, on one line. */
export function errorText(text: string, bytesMax: number): Buffer {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  const bytes = Buffer.from(text.replace(/[\u0000-\u001f\u007f]/g, ' '));
  let end = Math.min(bytes.length, bytesMax);
  // Bytes 10xxxxxx continue a character.
  while (end < bytes.length && end > 0 && (bytes[end]! & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}
