/** What a server tells on standard output. A reader that has gone must not end the server. */
export function sayToStdout(): (line: string) => void {
  process.stdout.on('error', () => {});
  return (line) => void process.stdout.write(`${line}\n`);
}
