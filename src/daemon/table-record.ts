/**
 * Remembers the tables that repair and split have made of the operator's, so that a later start
 * loads those, and never believes a leg that was taken out.
 *
 * The log of a mirror knows nothing of legs. Whoever starts the old table over a log that has gone
 * on without one of its legs reads stale data as clean. So the record is made, durably, before a
 * table without that leg resumes; and a start with any other table than those on record is refused.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { errnoName, errnoOfError } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import type { Logger } from '../base/log.ts';
import type { MappedDevice } from '../dm/mapped-device.ts';
import { parseTable, type TableLine, textOf } from '../dm/table-line.ts';

/** The code of the error when nothing can be recorded. */
export const RECORD_FAILED = 'record-failed';

export interface RecordedTable {
  readonly lines: readonly TableLine[];
  /** A word in it was meant for one start, and goes when all regions are in sync. */
  readonly unsettled: boolean;
}

export interface TableRecord {
  /** Durable when it resolves. @throws UserError */
  put(device: MappedDevice, table: RecordedTable): Promise<void>;
}

const recordSchema = v.object({
  version: v.literal(1),
  given: v.string(),
  current: v.string(),
  unsettled: v.boolean(),
});

export interface TableRecordFileOptions {
  /** Null where there is no place for it, or where nothing that it is about outlives the process. */
  readonly path: string | null;
  /** The operator's table, without what repair has made of it. */
  readonly given: readonly TableLine[];
  readonly log: Logger;
}

/** The record of the one device that is served from the start; other devices are the operator's. */
export class TableRecordFile implements TableRecord {
  readonly #options: TableRecordFileOptions;
  #device: MappedDevice | null = null;

  constructor(options: TableRecordFileOptions) {
    this.#options = options;
  }

  follow(device: MappedDevice): void {
    this.#device = device;
  }

  async put(device: MappedDevice, { lines, unsettled }: RecordedTable): Promise<void> {
    const { path, given, log } = this.#options;
    const current = textOf(lines);
    if (device !== this.#device || path === null) {
      log.warn('no record is kept of the new table: load this one from now on', {
        device: device.name,
        table: current,
      });
      return;
    }
    const record = { version: 1, given: textOf(given), current, unsettled };
    try {
      writeDurably(path, `${JSON.stringify(record, null, 2)}\n`);
    } catch (error) {
      const errno = errnoOfError(error);
      throw new UserError(
        RECORD_FAILED,
        `Cannot record the new table in "${path}": ${errnoName(errno)}`,
        { errno, cause: error },
      );
    }
  }
}

/**
 * What to start with instead of the table that was given, by the records that exist at `paths`;
 * null where nothing is on record.
 *
 * @throws UserError for a table that is neither the one before nor the one after.
 */
export function recallTable(
  paths: readonly string[],
  given: readonly TableLine[],
): (RecordedTable & { readonly path: string }) | null {
  for (const path of paths) {
    if (!existsSync(path)) continue;
    const record = readRecord(path);
    if (record.given !== textOf(given) && record.current !== textOf(given)) {
      throw conflict(path, record.current);
    }
    return { path, lines: parseTable(record.current), unsettled: record.unsettled };
  }
  return null;
}

function readRecord(path: string): v.InferOutput<typeof recordSchema> {
  try {
    return v.parse(recordSchema, JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new UserError(
      'bad-record',
      `Cannot read "${path}", which says how the table was repaired: it is no such record`,
      { hint: 'Without it no leg can be trusted: remove it and start with --sync.', cause: error },
    );
  }
}

function conflict(path: string, current: string): UserError {
  return new UserError(
    'table-repaired',
    `Cannot serve: "${path}" says that the table was changed to "${current}", and another is given`,
    {
      hint:
        'Start with one of the two. To use a leg that was taken out, put it behind the others, ' +
        'remove the record and start with --sync.',
    },
  );
}

/** The old contents or the new ones, whenever the power goes. */
function writeDurably(path: string, text: string): void {
  const fresh = `${path}.new`;
  const fd = openSync(fresh, 'w', 0o644);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, path);
  const directory = openSync(dirname(resolve(path)), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
