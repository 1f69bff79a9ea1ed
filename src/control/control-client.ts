/** Speaks to a control server: one verb, one answer; or the stream of events. */

import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { UserError } from '../base/failure.ts';
import type { ControlAddress } from './control-address.ts';

export interface ControlClientOptions {
  readonly address: ControlAddress;
  readonly token?: string;
}

export interface ControlAnswer {
  /** HTTP status. */
  readonly status: number;
  readonly body: string;
}

export interface ReceivedEvent {
  readonly id: string;
  readonly type: string;
  readonly data: string;
}

export class ControlClient {
  readonly #options: ControlClientOptions;

  constructor(options: ControlClientOptions) {
    this.#options = options;
  }

  /** @throws UserError when nobody answers. A refusal is an answer. */
  async call(verb: string, input: object, form: 'json' | 'text'): Promise<ControlAnswer> {
    const body = JSON.stringify(input);
    const accept = form === 'text' ? 'text/plain' : 'application/json';
    const sent = this.#request('POST', `/v1/${encodeURIComponent(verb)}`, {
      accept,
      'content-type': 'application/json',
      'content-length': `${Buffer.byteLength(body)}`,
    });
    const response = await this.#respond(sent, body);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of response) chunks.push(chunk as Buffer);
    } catch (error) {
      throw this.#unreachable(error as Error);
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() };
  }

  /**
   * Events behind a position (the id of one, "start" or "now"), until the server has no more, or
   * ends.
   *
   * @throws UserError when nobody answers, or the position is refused.
   */
  async *events(options: { after: string; follow: boolean }): AsyncGenerator<ReceivedEvent> {
    const query = new URLSearchParams({ after: options.after, follow: `${options.follow}` });
    const sent = this.#request('GET', `/v1/events?${query}`, { accept: 'text/event-stream' });
    const response = await this.#respond(sent, '');
    response.setEncoding('utf8');
    if (response.statusCode !== 200) throw refusalOf(await textOf(response));
    let last = options.after;
    try {
      for await (const event of parseEvents(response)) {
        last = event.id;
        yield event;
      }
    } catch (error) {
      if (error instanceof UserError) throw error;
      const where = this.#where();
      throw new UserError('daemon-lost', `Cannot follow events: the daemon at ${where} is gone`, {
        hint: `What comes later follows with "events --follow --after ${last}".`,
        cause: error,
      });
    }
  }

  #request(method: string, path: string, headers: Record<string, string>): ClientRequest {
    const { address, token } = this.#options;
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const where =
      address.kind === 'unix'
        ? { socketPath: address.path }
        : { host: address.host, port: address.port };
    return request({
      ...where,
      method,
      path,
      agent: false,
      headers: { host: 'nbd-mirror', ...headers, ...authorization },
    });
  }

  #respond(sent: ClientRequest, body: string): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      sent.on('response', resolve);
      sent.on('error', (error: Error) => reject(this.#unreachable(error)));
      sent.end(body);
    });
  }

  #unreachable(error: NodeJS.ErrnoException): UserError {
    const [reason, hint] = explain(error);
    return new UserError(
      'daemon-unreachable',
      `Cannot reach the daemon at ${this.#where()}: ${reason}`,
      { hint, cause: error },
    );
  }

  #where(): string {
    const { address } = this.#options;
    return address.kind === 'unix' ? `"${address.path}"` : `${address.host}:${address.port}`;
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}

/** The daemon's refusal, as it would be thrown there. */
function refusalOf(body: string): UserError {
  let reply: { readonly code?: unknown; readonly message?: unknown; readonly hint?: unknown } = {};
  try {
    reply = JSON.parse(body) as typeof reply;
  } catch {
    // Whoever answers is no daemon of ours; its words are told as they are.
  }
  const { code = 'events-refused', message = `Cannot follow events: ${body.slice(0, 300)}` } =
    reply;
  const hint = typeof reply.hint === 'string' ? { hint: reply.hint } : {};
  return new UserError(String(code), String(message), hint);
}

function explain(error: NodeJS.ErrnoException): readonly [reason: string, hint: string] {
  const start = 'Start one with "nbd-mirror serve --control", or say where it is with --control.';
  switch (error.code) {
    case 'ENOENT':
      return ['there is no such socket', start];
    case 'ECONNREFUSED':
      return ['nobody listens there', start];
    case 'EACCES':
    case 'EPERM':
      return ['permission denied', 'Only the user who runs the daemon may use its socket.'];
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ERR_STREAM_PREMATURE_CLOSE':
      return ['it went away before it had answered', 'See the log of the daemon.'];
    default:
      return [error.message, start];
  }
}

/** Blocks of `name: value` lines, each ended by an empty line; comments begin with a colon. */
async function* parseEvents(chunks: AsyncIterable<string>): AsyncGenerator<ReceivedEvent> {
  let rest = '';
  for await (const chunk of chunks) {
    rest += chunk;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const fields = new Map<string, string>();
      for (const line of rest.slice(0, end).split('\n')) {
        const colon = line.indexOf(': ');
        if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2));
      }
      rest = rest.slice(end + 2);
      const type = fields.get('event');
      if (type === undefined) continue;
      yield { id: fields.get('id') ?? '', type, data: fields.get('data') ?? '' };
    }
  }
}
