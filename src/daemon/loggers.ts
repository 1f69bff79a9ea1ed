/**
 * Where log lines go in a real run: standard error, synchronously, so that a crash loses none. Text
 * for people, or JSON by pino, which is loaded only then.
 */

import { writeSync } from 'node:fs';
import type { LogFields, Logger, LogLevel } from '../base/log.ts';
import { nativeCalls } from '../block/file/native-calls.ts';
import type { StatusLine } from './status-line.ts';

export interface LoggerOptions {
  readonly json: boolean;
  readonly verbose: boolean;
  readonly statusLine: StatusLine | null;
}

const STDERR = 2;

export async function createLogger(options: LoggerOptions): Promise<Logger> {
  if (!options.json) return new TextLogger(options);
  const { pino } = await import('pino');
  const level = options.verbose ? 'debug' : 'info';
  const sink = pino({ level, base: { name: 'nbd-mirror' } }, { write: writeStderr });
  const log =
    (name: LogLevel) =>
    (message: string, fields: LogFields = {}): void =>
      sink[name](fields, message);
  return { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
}

class TextLogger implements Logger {
  readonly #options: LoggerOptions;

  constructor(options: LoggerOptions) {
    this.#options = options;
  }

  debug(message: string, fields?: LogFields): void {
    if (this.#options.verbose) this.#line('debug: ', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#line('', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#line('warning: ', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#line('error: ', message, fields);
  }

  #line(prefix: string, message: string, fields: LogFields = {}): void {
    const words = Object.entries(fields).map(([name, value]) => ` ${name}=${value}`);
    const line = `nbd-mirror: ${prefix}${message}${words.join('')}\n`;
    const { statusLine } = this.#options;
    if (statusLine === null) writeStderr(line);
    else statusLine.above(line);
  }
}

/**
 * A reader of standard error that has gone, or has stopped reading, must neither end the server nor
 * make it wait: what it does not take is lost.
 */
export function writeStderr(text: string): void {
  try {
    if (!nativeCalls().isWritable(STDERR)) return;
    writeSync(STDERR, text);
  } catch {
    // There is no place left to say so.
  }
}
