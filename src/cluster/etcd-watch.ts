/**
 * One watch of etcd on a stream of its own, from its beginning to whatever ends it.
 *
 * Not the client's own watcher: that keeps one stream for all of them, with the token of when it
 * was opened, and goes on after a break from where the last connection *began*. Here every end is
 * told, and whoever watched reads again and watches anew (docs/decisions/).
 */

import type { IDuplexStream, IWatchRequest, IWatchResponse, Range } from 'etcd3';
import type { Absence, Entry, Watch, WatchListener } from './engine.ts';

export type WatchStream = IDuplexStream<IWatchRequest, IWatchResponse>;

export interface EtcdWatchOptions {
  readonly open: () => Promise<WatchStream>;
  readonly range: Range;
  readonly afterRevision: number;
  readonly listener: WatchListener;
  /** Why it ended, for people and for whoever has the token. */
  readonly onEnd: (error: unknown) => void;
}

export function watchEtcd(options: EtcdWatchOptions): Watch {
  const { open, range, afterRevision, listener, onEnd } = options;
  let stream: WatchStream | null = null;
  let isClosed = false;
  const close = (): void => {
    isClosed = true;
    // Ended first: the client takes a cancelled one that could be written to for a broken member.
    stream?.end();
    stream?.cancel();
  };
  const ended = (error: unknown): void => {
    if (isClosed) return;
    close();
    onEnd(error);
    listener.lost();
  };
  const received = (response: IWatchResponse): void => {
    if (isClosed) return;
    if (response.canceled) ended(new Error(`the watch is refused: ${whyCanceled(response)}`));
    else if (response.events.length > 0) tell(response, listener);
  };
  open().then((opened) => {
    stream = opened;
    opened.on('data', received);
    opened.on('error', ended);
    opened.on('end', () => ended(new Error('the watch was ended')));
    if (isClosed) close();
    else opened.write({ create_request: createRequest(range, afterRevision) });
  }, ended);
  return { close };
}

/** Of one that begins too far back, or has fallen back too far, no reason is given. */
function whyCanceled({ cancel_reason: reason, compact_revision: oldest }: IWatchResponse): string {
  return reason !== '' ? reason : `revisions before ${oldest} are compacted`;
}

function createRequest({ start, end }: Range, afterRevision: number) {
  return { key: start, range_end: end, start_revision: afterRevision + 1 };
}

/**
 * Changes are counted by their own revisions: that of the header may be ahead, where a watch that
 * was slow is told in several parts what it missed.
 */
function tell({ events }: IWatchResponse, listener: WatchListener): void {
  const changes = new Map<string, Entry | Absence>();
  let latest = 0;
  for (const { type, kv } of events) {
    const revision = Number(kv.mod_revision);
    changes.set(kv.key.toString(), { value: type === 'Put' ? kv.value : null, revision });
    latest = Math.max(latest, revision);
  }
  listener.changed(changes, latest);
}
