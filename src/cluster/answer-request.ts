/** What each request asks of the log, and how its answer is written (specification 10.4). */

import { unreachable } from '../base/assert.ts';
import { EBUSY, EINVAL, ESHUTDOWN, type IoResult } from '../base/errno.ts';
import type { Region } from '../base/units.ts';
import {
  encodeCount,
  encodeFlag,
  encodeLease,
  encodeRemoteRecovering,
  encodeResyncWork,
  encodeStatus,
  ULOG_CLEAR_REGION,
  ULOG_FLUSH,
  ULOG_GET_REGION_SIZE,
  ULOG_GET_RESYNC_WORK,
  ULOG_GET_SYNC_COUNT,
  ULOG_IN_SYNC,
  ULOG_IS_CLEAN,
  ULOG_IS_REMOTE_RECOVERING,
  ULOG_LEASE,
  ULOG_MARK_REGION,
  ULOG_POSTSUSPEND,
  ULOG_PRESUSPEND,
  ULOG_RESUME,
  ULOG_SET_REGION_SYNC,
  ULOG_STATUS_INFO,
  ULOG_STATUS_TABLE,
  type UlogRequest,
} from '../dirtylog/ulog-payloads.ts';
import { type Answer, type LogInstance, refusal, success } from './log-instance.ts';
import { NO_ANSWER, type NoAnswer, type ServedLog } from './served-log.ts';

export interface RequestOf {
  readonly instance: LogInstance;
  readonly request: UlogRequest;
}

/** Finds another mirror that has the log resumed, if there is one. */
export type FindRival = () => Promise<LogInstance | null>;

export async function answerRequest(
  { instance, request }: RequestOf,
  findRival: FindRival,
): Promise<Answer | NoAnswer> {
  const { log } = instance;
  const wrong = regionsOf(request).find((region) => region >= log.regionCount);
  if (wrong !== undefined) return refusal(EINVAL);
  switch (request.type) {
    case ULOG_GET_REGION_SIZE:
      return success(encodeCount(log.regionSizeSectors));
    case ULOG_STATUS_INFO:
      return success(encodeStatus(await log.status('info')));
    case ULOG_STATUS_TABLE:
      return success(encodeStatus(await log.status('table')));
    case ULOG_GET_SYNC_COUNT:
      return success(encodeCount(await log.getSyncCount()));
    case ULOG_IN_SYNC:
      return success(encodeFlag(await log.inSync(request.region)));
    case ULOG_IS_CLEAN:
      return success(encodeFlag(await log.isClean(request.region)));
    case ULOG_LEASE:
      return success(encodeLease(log.lease?.() ?? { remainingMs: null, epoch: 0 }));
    case ULOG_RESUME:
      return resume(instance, findRival);
    case ULOG_PRESUSPEND:
      return outcome(await log.presuspend());
    case ULOG_POSTSUSPEND:
      return outcome(await log.postsuspend());
    default:
      // A mirror that has gone on although its server forgot it must say so first.
      return log.isLive ? ofLiveLog(log, request) : refusal(ESHUTDOWN);
  }
}

async function resume(instance: LogInstance, findRival: FindRival): Promise<Answer | NoAnswer> {
  if ((await findRival()) !== null) return refusal(EBUSY);
  return outcome(await instance.log.resume({ again: instance.log.isLive }));
}

async function ofLiveLog(log: ServedLog, request: UlogRequest): Promise<Answer | NoAnswer> {
  switch (request.type) {
    case ULOG_MARK_REGION:
      for (const region of request.regions) log.markRegion(region);
      return success();
    case ULOG_CLEAR_REGION:
      for (const region of request.regions) log.clearRegion(region);
      return success();
    case ULOG_FLUSH:
      for (const region of request.regions) log.markRegion(region);
      return outcome(await log.flush());
    case ULOG_GET_RESYNC_WORK: {
      const region = await log.getResyncWork();
      return region === NO_ANSWER ? NO_ANSWER : success(encodeResyncWork(region));
    }
    case ULOG_SET_REGION_SYNC:
      return outcome(await log.setRegionSync(request.region, request.inSync));
    case ULOG_IS_REMOTE_RECOVERING:
      return success(encodeRemoteRecovering(await log.isRemoteRecovering(request.region)));
    default:
      return unreachable('A request that needs no live log');
  }
}

function outcome(result: IoResult | NoAnswer): Answer | NoAnswer {
  if (result === NO_ANSWER) return NO_ANSWER;
  return result === 0 ? success() : refusal(result);
}

function regionsOf(request: UlogRequest): readonly Region[] {
  if ('regions' in request) return request.regions;
  return 'region' in request ? [request.region] : [];
}
