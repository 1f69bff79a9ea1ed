/**
 * The verbs over HTTP: `POST /v1/VERB` with a JSON object, `GET /v1/VERB?device=NAME` for those
 * that only read, and `GET /v1/events`. The same answers as JSON, or as the text of the command
 * line for clients that accept only that.
 *
 * Listening is up to whoever composes: the socket decides who may come, with a token where it
 * cannot.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { UserError } from '../base/failure.ts';
import { CONTROL_BODY_BYTES_MAX } from '../base/limits.ts';
import { quoted } from '../base/printable.ts';
import type { Control } from './control.ts';
import { formatError, replyOf, statusOf } from './error-reply.ts';
import { streamEvents } from './event-stream.ts';
import type { Answer, Verb } from './verb.ts';
import { findVerb, VERBS } from './verbs/all-verbs.ts';

export interface ControlServerOptions {
  readonly control: Control;
  /**
   * Whoever may connect may do everything; unless there is a token, which each request must have.
   */
  readonly token: string | null;
  /** A broken invariant showed up while a verb ran. */
  readonly onDefect: (error: unknown) => void;
}

/** Not listening yet. Its `closeAllConnections` ends those who follow events or wait. */
export function createControlServer(options: ControlServerOptions): Server {
  const app = createApp(options);
  // The globals stay Node's: other code of the process must not get another Request.
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  return createServer((request, response) => void listener(request, response));
}

function createApp({ control, token, onDefect }: ControlServerOptions): Hono {
  const app = new Hono();
  app.onError((error, context) => {
    if (error instanceof UserError) return refuse(context, error);
    if (error instanceof HTTPException) return error.getResponse();
    onDefect(error);
    return context.json({ code: 'defect', message: 'nbd-mirror has a defect and ends' }, 500);
  });
  app.notFound((context) =>
    refuse(
      context,
      new UserError('unknown-path', 'Cannot answer: there is nothing at this path', {
        hint: 'GET /v1 lists the verbs.',
      }),
    ),
  );
  if (token !== null) {
    app.use(async (context, next) => {
      if (!hasToken(context, token)) throw unauthorized();
      await next();
    });
  }
  app.get('/v1', (context) => context.json(describeVerbs(control)));
  app.get('/v1/events', (context) => streamEvents(context, control));
  app.get('/v1/:verb', async (context) => {
    const verb = getVerb(context);
    if (!verb.readsOnly) throw mustPost(verb.name);
    return answer(context, await run(control, verb, context, verb.readQuery(context.req.query())));
  });
  app.post('/v1/:verb', async (context) => {
    const verb = getVerb(context);
    const input = parseBody(verb.name, await readBody(context));
    return answer(context, await run(control, verb, context, input));
  });
  return app;
}

function run(control: Control, verb: Verb, context: Context, input: unknown): Promise<Answer> {
  return verb.run({ control, input, signal: context.req.raw.signal });
}

function answer(context: Context, { json, text }: Answer): Response {
  return wantsText(context) ? context.text(text) : context.json(json as object);
}

function refuse(context: Context, error: UserError): Response {
  const reply = replyOf(error);
  const status = statusOf(error);
  if (status === 401) context.header('www-authenticate', 'Bearer');
  if (wantsText(context)) return context.text(formatError(reply), status);
  return context.json(reply, status);
}

function wantsText(context: Context): boolean {
  return /^text\/plain\b/.test(context.req.header('accept') ?? '');
}

function describeVerbs(control: Control): object {
  return {
    version: control.host.version,
    verbs: VERBS.map(({ name, aliases = [], usage, summary, readsOnly }) => ({
      name,
      aliases,
      usage,
      summary,
      readsOnly,
    })),
  };
}

function getVerb(context: Context): Verb {
  const name = context.req.param('verb') ?? '';
  const verb = findVerb(name);
  if (verb !== null) return verb;
  throw new UserError('unknown-verb', `Cannot do ${quoted(name)}: no verb`, {
    hint: 'GET /v1 lists the verbs.',
  });
}

/** By hand, as hono's own limit cannot take a body of unknown length from this server. */
async function readBody(context: Context): Promise<string> {
  if (Number(context.req.header('content-length') ?? 0) > CONTROL_BODY_BYTES_MAX) {
    throw bodyTooLarge();
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of context.req.raw.body ?? []) {
      size += chunk.length;
      if (size > CONTROL_BODY_BYTES_MAX) throw bodyTooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    // Nobody will read this, but a client that leaves in the middle is no defect of ours.
    throw new UserError('bad-body', 'Cannot read the request: its body ended too early', {
      cause: error,
    });
  }
  return Buffer.concat(chunks).toString();
}

function parseBody(verb: string, text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError('bad-json', `Cannot ${verb}: the body is no JSON, must be an object`, {
      cause: error,
    });
  }
}

/** Compared as hashes, so that neither time nor length tells anything. */
function hasToken(context: Context, token: string): boolean {
  const given = /^Bearer +([^ ]+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return given !== undefined && timingSafeEqual(hash(given), hash(token));
}

function unauthorized(): UserError {
  return new UserError('unauthorized', 'Cannot let you in: the token is missing or wrong', {
    hint: 'Send the header "Authorization: Bearer TOKEN".',
  });
}

function bodyTooLarge(): UserError {
  return new UserError(
    'body-too-large',
    'Cannot read the request: its body is too large, ' +
      `must have at most ${CONTROL_BODY_BYTES_MAX} bytes`,
  );
}

function mustPost(verb: string): UserError {
  return new UserError('method-not-allowed', `Cannot ${verb} by GET: it changes something`, {
    hint: 'Use POST, with a JSON object.',
  });
}
