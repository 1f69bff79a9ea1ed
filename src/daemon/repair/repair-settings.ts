/** What the options of `serve` say of repair, and where its record is. */

import { statSync } from 'node:fs';
import { UserError } from '../../base/failure.ts';
import { quoted } from '../../base/printable.ts';
import { parseDeviceSpec } from '../../block/device-spec.ts';
import type { RepairPolicies, RepairPolicy } from '../../mirror/repair-table.ts';
import { isRemoteName } from '../../nbd/client/remote-name.ts';
import { identifyAnyDevice } from '../devices/any-device.ts';
import type { DeviceUse } from '../devices/table-devices.ts';

export interface RepairWords {
  readonly imageFaultPolicy?: string;
  readonly logFaultPolicy?: string;
  readonly spare?: readonly string[];
  readonly repairRecord?: string;
  readonly tableFile?: string;
  readonly readOnly: boolean;
}

export interface RepairSettings {
  /** Null: nothing is repaired by itself. */
  readonly policies: RepairPolicies | null;
  readonly spares: readonly string[];
  /** Where a record may be made. */
  readonly recordPaths: readonly string[];
}

/** What LVM does unless it is configured otherwise (specification 13.2). */
const DEFAULT_POLICIES: RepairPolicies = { image: 'remove', log: 'allocate' };

/** @throws UserError naming the option. */
export async function planRepairs(
  words: RepairWords,
  uses: readonly DeviceUse[],
): Promise<RepairSettings> {
  const { imageFaultPolicy, logFaultPolicy, spare: spares = [] } = words;
  const isOn = imageFaultPolicy !== undefined || logFaultPolicy !== undefined;
  const policies = isOn
    ? {
        image: parsePolicy('--image-fault-policy', imageFaultPolicy, DEFAULT_POLICIES.image),
        log: parsePolicy('--log-fault-policy', logFaultPolicy, DEFAULT_POLICIES.log),
      }
    : null;
  if (isOn && words.readOnly) {
    throw badOption('--read-only is given, with which nothing is repaired', 'Leave one of them.');
  }
  if (spares.length > 0 && policies?.image !== 'allocate' && policies?.log !== 'allocate') {
    throw badOption(
      '--spare is given, but no policy is "allocate"',
      'For example --image-fault-policy allocate.',
    );
  }
  for (const spare of spares) await identifyAnyDevice(spare);
  const places = recordPaths(words, uses);
  if (isOn && places.length === 0 && uses.some(outlivesProcess)) {
    throw badOption(
      'there is no place for the record of repairs',
      'Name a file with --repair-record: a later start needs it to know which legs are stale.',
    );
  }
  return { policies, spares, recordPaths: places };
}

/**
 * Where a record may be: where the operator says; else beside the table's file, or beside one of
 * the files that the table names, legs first.
 */
export function recordPaths(words: RepairWords, uses: readonly DeviceUse[]): string[] {
  const { repairRecord, tableFile } = words;
  if (repairRecord !== undefined) return [repairRecord];
  const files = [
    ...(tableFile === undefined || tableFile === '-' ? [] : [tableFile]),
    ...['leg', 'log'].flatMap((role) =>
      uses.filter((use) => use.role === role).flatMap(({ device }) => regularFile(device)),
    ),
  ];
  return [...new Set(files)].map((path) => `${path}.repaired`);
}

function regularFile(device: string): string[] {
  if (isRemoteName(device)) return [];
  const spec = parseDeviceSpec(device);
  if (spec.kind === 'memory') return [];
  const stats = statSync(spec.path, { throwIfNoEntry: false });
  return stats === undefined || stats.isFile() ? [spec.path] : [];
}

function outlivesProcess({ device }: DeviceUse): boolean {
  return isRemoteName(device) || parseDeviceSpec(device).kind !== 'memory';
}

function parsePolicy(option: string, word: string | undefined, usual: RepairPolicy): RepairPolicy {
  if (word === undefined) return usual;
  if (word === 'remove' || word === 'allocate') return word;
  throw badOption(`${option} is ${quoted(word)}, must be remove or allocate`);
}

function badOption(problem: string, hint?: string): UserError {
  return new UserError('bad-repair-option', `Cannot repair mirrors: ${problem}`, {
    ...(hint === undefined ? {} : { hint }),
  });
}
