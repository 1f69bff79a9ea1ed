/**
 * A name and a password for etcd, and the token that it gives for them.
 *
 * The client's own way asks for a new token only where a question is refused for the old one, never
 * where a stream is, nor after somebody changed the users; and a stream keeps the token that it was
 * opened with. Here the token goes with each call, and is forgotten at the first word against it.
 */

import type { Etcd3 } from 'etcd3';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';

export interface EtcdUser {
  readonly name: string;
  readonly password: string;
}

/**
 * What etcd says to a token that it does not know (any more), or that is older than its users. Of a
 * watch it does not say more than that it may not be.
 */
const TOKEN_REFUSED = /invalid auth token|auth store is old|watch is refused/;

export class EtcdLogin {
  readonly #user: EtcdUser;
  readonly #deadline: () => { deadline: number };
  #token: string | null = null;
  #asking: Promise<string> | null = null;

  constructor(user: EtcdUser, deadline: () => { deadline: number }) {
    this.#user = user;
    this.#deadline = deadline;
  }

  /** Null before the first, and while there is none. */
  get token(): string | null {
    return this.#token;
  }

  /** For the first time: a wrong password is not tried again. @throws UserError naming the user. */
  async enter(client: Etcd3): Promise<void> {
    try {
      await this.ready(client);
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      if (!/authentication (failed|is not enabled)/.test(reason)) return;
      client.close();
      throw new UserError(
        'etcd-user',
        `Cannot use etcd as user ${quoted(this.#user.name)}: ${reason.slice(0, 200)}`,
      );
    }
  }

  /** Ends when there is a token. @throws what etcd, or the way to it, says against it. */
  async ready(client: Etcd3): Promise<void> {
    if (this.#token !== null) return;
    this.#asking ??= this.#ask(client).finally(() => {
      this.#asking = null;
    });
    await this.#asking;
  }

  /** Any error of any call. */
  heard(error: unknown): void {
    if (TOKEN_REFUSED.test(error instanceof Error ? error.message : '')) this.#token = null;
  }

  async #ask(client: Etcd3): Promise<string> {
    const { token } = await client.auth.authenticate({ ...this.#user }, this.#deadline());
    this.#token = token;
    return token;
  }
}
