/**
 * What `nbd-mirror serve` may be told, as the command line hands it over: words, not yet
 * understood.
 */

import type { ClientWords } from './client-settings.ts';

export interface ServeOptions extends ClientWords {
  /** Short form: a mirror table line is built from these. */
  readonly size?: string;
  readonly leg: readonly string[];
  readonly log?: string;
  readonly regionSize?: string;
  readonly handleErrors: boolean;
  readonly keepLog: boolean;
  readonly sync?: boolean;

  /** Long form: the table itself, in pieces that are put below each other, or in a file. */
  readonly table: readonly string[];
  readonly tableFile?: string;

  /** The unix socket of the log server, for mirrors with a userspace log. */
  readonly logServer?: string;

  readonly create: boolean;
  readonly overwriteLog: boolean;
  readonly resizeLog: boolean;
  readonly readOnly: boolean;
  readonly aio?: string;
  readonly resyncThrottle?: string;
  readonly clearDelay?: string;
  readonly pollUs?: string;

  readonly socket?: string;
  readonly listen: readonly string[];
  readonly name: string;

  /** What the server offers; false refuses a feature. */
  readonly structured?: boolean;
  readonly extended?: boolean;
  /** Of handshake flags, as a number. */
  readonly maskHandshake?: string;
  /** Shows region states under a name that qemu's tools know as well. */
  readonly qemuBitmap?: boolean;

  readonly imageFaultPolicy?: string;
  readonly logFaultPolicy?: string;
  readonly spare?: readonly string[];
  readonly repairRecord?: string;

  /** True: at the usual place. */
  readonly control?: string | boolean;
  readonly controlListen?: string;
  readonly controlToken?: string;

  readonly run?: string;
  readonly pidFile?: string;
  readonly exitWithParent: boolean;
  readonly logJson: boolean;
  readonly verbose: boolean;
  readonly quiet: boolean;
}
