/**
 * Server-sent events: what happened to devices, from a position on, as long as the client listens.
 */

import type { Context } from 'hono';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import { UserError } from '../base/failure.ts';
import { quoted } from '../base/printable.ts';
import type { Control } from './control.ts';
import type { ControlEvent } from './event-history.ts';

/** A silent connection may be a dead one: something is sent so often. */
const HEARTBEAT_MS = 15_000;

interface Start {
  readonly position: number;
  /** The client's position is one of an earlier daemon. */
  readonly restarted: boolean;
}

/** @throws UserError for a position that means nothing. */
export function streamEvents(context: Context, control: Control): Response {
  const start = chooseStart(context, control);
  const follow = context.req.query('follow') !== 'false';
  return streamSSE(context, async (stream) => {
    // Writing does not tell that nobody reads any more; only this does.
    const gone = new AbortController();
    stream.onAbort(() => gone.abort());
    if (start.restarted) await send(stream, control, 'restarted', start.position, {});
    await send(stream, control, 'ready', start.position, { follow });
    await sendFrom(stream, control, start.position, { follow, gone: gone.signal });
  });
}

async function sendFrom(
  stream: SSEStreamingApi,
  control: Control,
  start: number,
  options: { readonly follow: boolean; readonly gone: AbortSignal },
): Promise<void> {
  const { events, host } = control;
  let position = start;
  while (!options.gone.aborted) {
    const { events: batch, lost } = events.after(position);
    if (lost > 0) await send(stream, control, 'lost', position + lost, { count: lost });
    for (const event of batch) {
      if (options.gone.aborted) return;
      await send(stream, control, event.type, event.sequence, eventJson(event));
    }
    position = batch.at(-1)?.sequence ?? position + lost;
    if (!options.follow) return;
    const pause = new AbortController();
    const timer = host.clock.after(HEARTBEAT_MS, () => pause.abort());
    await events.changed(position, AbortSignal.any([options.gone, pause.signal]));
    timer.cancel();
    if (pause.signal.aborted) await stream.write(': still here\n\n');
  }
}

function eventJson(event: ControlEvent): object {
  const { sequence, type, device, fields } = event;
  return { ...fields, sequence, type, device };
}

function send(
  stream: SSEStreamingApi,
  control: Control,
  type: string,
  position: number,
  data: object,
): Promise<void> {
  const id = `${control.host.instance}-${position}`;
  return stream.writeSSE({ id, event: type, data: JSON.stringify(data) });
}

/** By the header that browsers send when they come again, or by `?after=`. */
function chooseStart(context: Context, control: Control): Start {
  const word = context.req.header('last-event-id') ?? context.req.query('after') ?? 'start';
  if (word === 'start') return { position: 0, restarted: false };
  if (word === 'now') return { position: control.events.last, restarted: false };
  const match = /^([0-9a-f]{1,32})-([0-9]{1,15})$/.exec(word);
  if (match === null) {
    throw new UserError(
      'bad-input',
      `Cannot follow events: position is ${quoted(word)}, ` +
        'must be the id of an event, "start" or "now"',
    );
  }
  const position = Number(match[2]);
  const isOurs = match[1] === control.host.instance && position <= control.events.last;
  return isOurs ? { position, restarted: false } : { position: 0, restarted: true };
}
