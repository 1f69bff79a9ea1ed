/** Where a daemon is driven: as people write it, and where it is by default. */

import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';

export type ControlAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

const SOCKET_NAME = 'nbd-mirror.ctl';

/** The daemon takes the first; others look for it in this order. */
export function defaultControlSockets(environment: {
  readonly XDG_RUNTIME_DIR?: string | undefined;
}): string[] {
  const runtime = environment.XDG_RUNTIME_DIR;
  const system = `/run/${SOCKET_NAME}`;
  return runtime === undefined || runtime === '' ? [system] : [`${runtime}/${SOCKET_NAME}`, system];
}

/** A path, or `HOST:PORT` or `[IPv6]:PORT`. @throws UserError */
export function parseControlAddress(text: string): ControlAddress {
  const match = /^(?:\[([^\]/]+)\]|([^:/]+)):([0-9]{1,5})$/.exec(text);
  if (match !== null) {
    return { kind: 'tcp', host: (match[1] ?? match[2])!, port: Number(match[3]) };
  }
  if (text !== '' && !text.includes('\0')) return { kind: 'unix', path: text };
  throw new UserError(
    'bad-control',
    `Cannot reach a daemon at ${quoted(text)}: it must be a path or HOST:PORT`,
  );
}
