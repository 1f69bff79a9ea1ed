/**
 * Subjects of certificates, and patterns that they are authorised by.
 *
 * Both are written as RFC 2253 has it, the most specific part first: `CN=alice,O=Example,C=GB`. In
 * a pattern `*` stands for any characters and `?` for any one, within a part; a part that is `*`
 * alone stands for any number of parts; `\*` and `\?` are themselves. As nothing else reaches
 * beyond its part, who may choose a name with commas in it cannot choose an organisation with it.
 */

/**
 * @param subject as OpenSSL gives it to Node: one part a line, the least specific first, escaped as
 *   RFC 2253 has it.
 */
export function matchesSubject(pattern: string, subject: string): boolean {
  return matchParts(splitParts(pattern), partsOf(subject));
}

/** As a pattern for itself, and as `openssl x509 -subject -nameopt RFC2253` prints it. */
export function formatSubject(subject: string): string {
  return partsOf(subject).join(',');
}

function partsOf(subject: string): string[] {
  // A plus with spaces around it joins two attributes of one part: one within a value is escaped.
  const lines = subject.split('\n').filter((line) => line !== '');
  return lines.reverse().map((line) => line.replaceAll(' + ', '+'));
}

/** At commas that are not escaped. */
function splitParts(pattern: string): string[] {
  return (pattern.match(/(?:\\[\s\S]|[^\\,])+/g) ?? []).map((part) => part.trimStart());
}

function matchParts(patterns: readonly string[], parts: readonly string[]): boolean {
  const [first, ...rest] = patterns;
  if (first === undefined) return parts.length === 0;
  if (first === '*') {
    return parts.some((_part, at) => matchParts(rest, parts.slice(at))) || matchParts(rest, []);
  }
  const [part, ...others] = parts;
  return part !== undefined && matchesPart(first, part) && matchParts(rest, others);
}

function matchesPart(pattern: string, part: string): boolean {
  const source = pattern.replace(/\\?[\s\S]/g, (word) => {
    if (word === '*') return '[\\s\\S]*';
    if (word === '\\*' || word === '\\?') return word;
    if (word === '?') return '(?:\\\\[\\s\\S]|[^\\\\])';
    return word.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
  });
  return new RegExp(`^${source}$`).test(part);
}
