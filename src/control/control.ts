/** What all verbs share: the host, the turns that devices take, and the history of events. */

import type { ControlHost } from './control-host.ts';
import { DeviceTurns } from './device-turns.ts';
import { EventHistory } from './event-history.ts';
import { PendingWork } from './pending-work.ts';

export class Control {
  readonly host: ControlHost;
  readonly turns = new DeviceTurns();
  /** Removals of devices whose last user has gone. */
  readonly removals = new PendingWork();
  readonly events: EventHistory;

  constructor(host: ControlHost, events = new EventHistory()) {
    this.host = host;
    this.events = events;
  }
}
