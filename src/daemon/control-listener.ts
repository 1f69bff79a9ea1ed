/**
 * Where the daemon can be driven: a unix socket of its owner, TCP with a token, both or none of
 * them.
 */

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Control } from '../control/control.ts';
import { defaultControlSockets } from '../control/control-address.ts';
import { listenOnTcp, listenOnUnixSocket } from '../nbd/bind-socket.ts';
import type { ListenAddress } from '../nbd/transport.ts';
import { makeToken, readOrMakeToken } from './control-token.ts';
import { parseListenAddress, type TcpAddress } from './listen-address.ts';

export interface ControlPlan {
  readonly socket: string | null;
  readonly tcp: TcpAddress | null;
  readonly tokenFile: string | null;
}

export interface ControlWords {
  /** True: at the usual place. */
  readonly control?: string | boolean;
  readonly controlListen?: string;
  readonly controlToken?: string;
}

/** @throws UserError for an address that means nothing. */
export function planControl(words: ControlWords, environment: NodeJS.ProcessEnv): ControlPlan {
  const { control, controlListen, controlToken } = words;
  const socket =
    control === true ? (defaultControlSockets(environment)[0] ?? null) : control || null;
  const tcp = controlListen === undefined ? null : parseListenAddress(controlListen);
  return { socket, tcp, tokenFile: controlToken ?? null };
}

export function isControlled(plan: ControlPlan): boolean {
  return plan.socket !== null || plan.tcp !== null;
}

export class ControlListener {
  readonly addresses: ListenAddress[] = [];
  /** Made here, so that somebody has to be told; null where there is none, or it is in a file. */
  madeToken: string | null = null;
  readonly #control: Control;
  readonly #servers: Server[] = [];
  #warming: Promise<void> | null = null;

  constructor(control: Control) {
    this.#control = control;
  }

  /** @throws UserError where it cannot listen. */
  async listen(plan: ControlPlan): Promise<void> {
    if (plan.socket !== null) {
      await listenOnUnixSocket(await this.#createServer(null), plan.socket);
      this.addresses.push({ kind: 'unix', path: plan.socket });
    }
    if (plan.tcp === null) return;
    if (plan.tokenFile === null) this.madeToken = makeToken();
    const token = this.madeToken ?? readOrMakeToken(plan.tokenFile!);
    const server = await this.#createServer(token);
    await listenOnTcp(server, plan.tcp.host, plan.tcp.port);
    const { address, port } = server.address() as AddressInfo;
    this.addresses.push({ kind: 'tcp', host: address, port });
  }

  /** Begins to make the first command as fast as later ones. */
  warm(): void {
    const address = this.addresses.find(({ kind }) => kind === 'unix');
    if (address?.kind !== 'unix') return;
    this.#warming = import('./warm-control.ts').then((module) => module.warmControl(address));
  }

  /** Takes no more requests, and cuts off those who wait or follow events. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
    await this.#warming;
  }

  async #createServer(token: string | null): Promise<Server> {
    // Loaded here, so that a daemon that nobody drives starts sooner.
    const { createControlServer } = await import('../control/control-server.ts');
    const server = createControlServer({ control: this.#control, token, onDefect: crash });
    this.#servers.push(server);
    return server;
  }
}

/** Out of the reach of whoever catches errors: carrying on could lie about durability. */
function crash(error: unknown): void {
  void Promise.reject(error);
}
