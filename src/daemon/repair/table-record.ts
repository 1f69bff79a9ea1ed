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
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { errnoName, errnoOfError } from '../../base/errno.ts';
import { UserError } from '../../base/failure.ts';
import type { Logger } from '../../base/log.ts';
import type { MappedDevice } from '../../dm/mapped-device.ts';
import { parseTable, type TableLine, textOf } from '../../dm/table-line.ts';

/** The code of the error when nothing can be recorded. */
export const RECORD_FAILED = 'record-failed';

export interface RecordedTable {
  readonly lines: readonly TableLine[];
  /** A word in it was meant for one start, and goes when all regions are in sync. */
  readonly unsettled: boolean;
}

export interface TableRecord {
  /** Looks, before anything is done, whether there is a place for it. @throws UserError */
  check(device: MappedDevice): Promise<void>;
  /** Durable when it resolves. @throws UserError */
  put(device: MappedDevice, table: RecordedTable): Promise<void>;
}

const recordSchema = v.object({
  version: v.literal(1),
  sequence: v.number(),
  given: v.string(),
  current: v.string(),
  unsettled: v.boolean(),
});

export interface TableRecordFileOptions {
  /**
   * Where it may be made: the first place that can be written counts, and any is looked at later.
   */
  readonly paths: readonly string[];
  /** The operator's table, without what repair has made of it. */
  readonly given: readonly TableLine[];
  /** Of the newest record that exists; 0 where there is none. */
  readonly sequence: number;
  readonly log: Logger;
}

/** The record of the one device that is served from the start; other devices are the operator's. */
export class TableRecordFile implements TableRecord {
  readonly #options: TableRecordFileOptions;
  #device: MappedDevice | null = null;
  #sequence: number;

  constructor(options: TableRecordFileOptions) {
    this.#options = options;
    this.#sequence = options.sequence;
  }

  follow(device: MappedDevice): void {
    this.#device = device;
  }

  async check(device: MappedDevice): Promise<void> {
    const { paths } = this.#options;
    if (device === this.#device && paths.length > 0) withFirst(paths, tryToWrite);
  }

  async put(device: MappedDevice, { lines, unsettled }: RecordedTable): Promise<void> {
    const { paths, given, log } = this.#options;
    const current = textOf(lines);
    if (device !== this.#device || paths.length === 0) {
      log.warn('no record is kept of the new table: load this one from now on', {
        device: device.name,
        table: current,
      });
      return;
    }
    this.#sequence += 1;
    const record = {
      version: 1,
      sequence: this.#sequence,
      given: textOf(given),
      current,
      unsettled,
    };
    const text = `${JSON.stringify(record, null, 2)}\n`;
    withFirst(paths, (path) => writeDurably(path, text));
  }
}

export interface RecalledTable extends RecordedTable {
  readonly path: string;
  readonly sequence: number;
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
): RecalledTable | null {
  const records = paths
    .filter((path) => existsSync(path))
    .map((path) => ({ path, ...readRecord(path) }));
  const [newest] = records.sort((one, other) => other.sequence - one.sequence);
  if (newest === undefined) return null;
  const { path, sequence, current, unsettled } = newest;
  if (newest.given !== textOf(given) && current !== textOf(given)) throw conflict(path, current);
  return { path, sequence, lines: parseTable(current), unsettled };
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

/** @throws UserError where it goes wrong with all of them. */
function withFirst(paths: readonly string[], write: (path: string) => void): void {
  let failure: unknown = null;
  for (const path of paths) {
    try {
      write(path);
      return;
    } catch (error) {
      failure ??= error;
    }
  }
  const errno = errnoOfError(failure);
  throw new UserError(
    RECORD_FAILED,
    `Cannot record the new table in "${paths[0]}": ${errnoName(errno)}`,
    { errno, cause: failure },
  );
}

function tryToWrite(path: string): void {
  const fresh = freshPath(path);
  writeFile(fresh, 'is there room?\n');
  rmSync(fresh);
}

/** The old contents or the new ones, whenever the power goes. */
function writeDurably(path: string, text: string): void {
  const fresh = freshPath(path);
  writeFile(fresh, text);
  renameSync(fresh, path);
  const directory = openSync(dirname(resolve(path)), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function freshPath(path: string): string {
  return `${path}.new`;
}

function writeFile(path: string, text: string): void {
  const fd = openSync(path, 'w', 0o644);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
