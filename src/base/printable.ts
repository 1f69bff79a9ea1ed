/** Words of strangers in messages: one line, no control characters, cut to a size. */

/** Shows control characters and quotes as escapes, so that nobody can forge a line of a log. */
export function printable(text: string, charactersMax = 80): string {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029"\\]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** In quotes; "missing", without, for a word that is not there. */
export function quoted(word: string | undefined): string {
  return word === undefined ? 'missing' : `"${printable(word)}"`;
}

/** For a terminal or a line of a log: bytes that would steer it are written as `\\x1b`. */
export function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
  return text.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
