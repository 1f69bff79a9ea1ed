/** The two implementations of a log that nodes share, for the log server's list. */

import { EBUSY, EIO } from '../base/errno.ts';
import { UserError } from '../base/failure.ts';
import { SECTOR_SIZE } from '../base/units.ts';
import { logImageBytes } from '../dirtylog/log-header.ts';
import { asConfig, type ClusterContext } from './cluster-context.ts';
import { decodeJson, LogKeys } from './cluster-keys.ts';
import { ClusteredLog } from './clustered-log.ts';
import type { LogCreation, LogImplementation, LogSurroundings, ServedLog } from './served-log.ts';
import { parseSharedLogArgs, type SharedImplementation } from './shared-log-args.ts';

/** A store may be choosing a new leader. */
const READS_MAX = 8;
const IMPLEMENTATIONS: readonly SharedImplementation[] = ['clustered-core', 'clustered-disk'];

export function clusteredLogs(
  context: ClusterContext,
  surroundings: LogSurroundings,
): LogImplementation[] {
  return IMPLEMENTATIONS.map((name) => ({
    name,
    create: (creation) => create(name, creation, context, surroundings),
  }));
}

async function create(
  name: SharedImplementation,
  creation: LogCreation,
  context: ClusterContext,
  { openDevice }: LogSurroundings,
): Promise<ServedLog> {
  const args = parseSharedLogArgs(name, creation);
  await checkStored(creation.uuid, args.config, context);
  const { uuid } = creation;
  if (args.device === null) return new ClusteredLog({ uuid, args, context, device: null });
  const newBytes = logImageBytes(args.regionCount, SECTOR_SIZE);
  const device = await openDevice(args.device, newBytes);
  const neededBytes = logImageBytes(args.regionCount, device.logicalBlockSize);
  if (neededBytes > device.sizeSectors * 512) {
    await device.close();
    throw refused(
      name,
      'log-too-small',
      `log device "${device.name}" has ${device.sizeSectors * 512} bytes, ` +
        `must have at least ${neededBytes}`,
    );
  }
  return new ClusteredLog({ uuid, args, context, device });
}

/** What the store has of this uuid must be a log of this kind; @throws UserError */
async function checkStored(
  uuid: string,
  config: ReturnType<typeof parseSharedLogArgs>['config'],
  { engine }: ClusterContext,
): Promise<void> {
  const keys = new LogKeys(uuid);
  let snapshot = await engine.read(keys.prefix);
  for (let tries = 1; snapshot === null && tries < READS_MAX; tries++) {
    snapshot = await engine.read(keys.prefix);
  }
  if (snapshot === null) {
    throw new UserError(
      'store-unreachable',
      `Cannot create log "${config.implementation}": the store does not answer: ` +
        (engine.problem ?? 'no answer in time'),
      { errno: EIO, hint: 'See nbd-mirror logd status.' },
    );
  }
  const entry = snapshot.entries.get(keys.config);
  if (entry === undefined) return;
  const stored = asConfig(decodeJson(entry.value));
  if (stored === null) {
    throw refused(
      config.implementation,
      'log-foreign',
      `what the store holds under "${keys.prefix}" is no log of this version`,
    );
  }
  const isInUse = [...snapshot.entries.keys()].some((key) => keys.parse(key)?.kind === 'node');
  if (!isInUse) return;
  for (const what of ['implementation', 'targetSectors', 'regionSizeSectors'] as const) {
    if (stored[what] === config[what]) continue;
    const problem = `${what} is ${config[what]}, must be ${stored[what]} as on other nodes`;
    throw refused(config.implementation, 'log-differs', problem);
  }
}

function refused(name: string, code: string, problem: string): UserError {
  return new UserError(code, `Cannot create log "${name}": ${problem}`, { errno: EBUSY });
}
