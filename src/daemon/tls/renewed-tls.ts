/**
 * TLS with credentials from files, which may be renewed while it is in use: who connects next meets
 * what the files hold then. Certificates end, and neither exports nor legs should have to.
 *
 * Files that are of no use (the certificate is there already and its key not yet) change nothing:
 * what was good before goes on, and they are looked at again when they change again.
 */

import { statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { UserError } from '../../base/failure.ts';
import type { Logger } from '../../base/log.ts';
import type { TlsOutcome, TlsUpgrade } from '../../nbd/tls.ts';

export interface RenewedTlsOptions {
  /** All that `load` reads, also where it may be missing. */
  readonly files: readonly string[];
  /** @throws UserError */
  readonly load: () => TlsUpgrade;
  readonly log: Logger;
}

export class RenewedTls implements TlsUpgrade {
  readonly #options: RenewedTlsOptions;
  #seen: string;
  #upgrade: TlsUpgrade;

  /** @throws UserError where there is nothing good to begin with. */
  constructor(options: RenewedTlsOptions) {
    this.#options = options;
    // Before they are read: what changes meanwhile is seen the next time.
    this.#seen = stateOf(options.files);
    this.#upgrade = options.load();
  }

  start(socket: Socket, done: (outcome: TlsOutcome) => void): void {
    this.#renew();
    this.#upgrade.start(socket, done);
  }

  #renew(): void {
    const { files, load, log } = this.#options;
    const state = stateOf(files);
    if (state === this.#seen) return;
    this.#seen = state;
    try {
      this.#upgrade = load();
      log.info('TLS: credentials were renewed', { files: files.join(', ') });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      log.error(`TLS goes on with the credentials of before: ${error.message}`);
    }
  }
}

/** Another string when a file was written, replaced, made or removed. */
function stateOf(files: readonly string[]): string {
  return files.map(stateOfFile).join(' ');
}

function stateOfFile(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join('/');
  } catch {
    // Why it cannot be had, whoever reads it says.
    return 'none';
  }
}
