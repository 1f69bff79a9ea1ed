/** What each request asks of the log, and how its answer is written (specification 10.4). */

import { unreachable } from '../base/assert.ts';
import { type Awaitable, andThen } from '../base/awaitable.ts';
import { EBUSY, EINVAL, ESHUTDOWN, type IoResult, OK } from '../base/errno.ts';
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
} from '../dirtylog/userspace/ulog-payloads.ts';
import { type Given, type LogInstance, refusal, success } from './log-instance.ts';
import { NO_ANSWER, type NoAnswer, type ServedLog } from './served-log.ts';

export interface RequestOf {
  readonly instance: LogInstance;
  readonly request: UlogRequest;
}

/** Resumes the log for this instance alone. Null: another mirror has it. */
export type ResumeAlone = <T>(resume: () => Awaitable<T>) => Promise<T | null>;

export function answerRequest(
  { instance, request }: RequestOf,
  resumeAlone: ResumeAlone,
): Awaitable<Given> {
  const { log } = instance;
  const wrong = regionsOf(request).find((region) => region >= log.regionCount);
  if (wrong !== undefined) return refusal(EINVAL);
  switch (request.type) {
    case ULOG_GET_REGION_SIZE:
      return success(encodeCount(log.regionSizeSectors));
    case ULOG_STATUS_INFO:
      return andThen(log.status('info'), (text) => success(encodeStatus(text)));
    case ULOG_STATUS_TABLE:
      return andThen(log.status('table'), (text) => success(encodeStatus(text)));
    case ULOG_GET_SYNC_COUNT:
      return andThen(log.getSyncCount(), (count) => success(encodeCount(count)));
    case ULOG_IN_SYNC:
      return andThen(log.inSync(request.region), (flag) => success(encodeFlag(flag)));
    case ULOG_IS_CLEAN:
      return andThen(log.isClean(request.region), (flag) => success(encodeFlag(flag)));
    case ULOG_LEASE:
      return success(encodeLease(log.lease?.() ?? { remainingMs: null, epoch: 0 }));
    case ULOG_RESUME:
      return resume(log, resumeAlone);
    case ULOG_PRESUSPEND:
      return andThen(log.presuspend(), outcome);
    case ULOG_POSTSUSPEND:
      return andThen(log.postsuspend(), outcome);
    default:
      // A mirror that has gone on although its server forgot it must say so first.
      return log.isLive ? ofLiveLog(log, request) : refusal(ESHUTDOWN);
  }
}

async function resume(log: ServedLog, resumeAlone: ResumeAlone): Promise<Given> {
  const result = await resumeAlone(() => log.resume({ again: log.isLive }));
  return result === null ? refusal(EBUSY) : outcome(result);
}

function ofLiveLog(log: ServedLog, request: UlogRequest): Awaitable<Given> {
  switch (request.type) {
    case ULOG_MARK_REGION:
      for (const region of request.regions) log.markRegion(region);
      return success();
    case ULOG_CLEAR_REGION:
      for (const region of request.regions) log.clearRegion(region);
      return success();
    case ULOG_FLUSH:
      for (const region of request.regions) log.markRegion(region);
      return andThen(log.flush(), outcome);
    case ULOG_GET_RESYNC_WORK:
      return andThen(log.getResyncWork(), (region) =>
        region === NO_ANSWER ? NO_ANSWER : success(encodeResyncWork(region)),
      );
    case ULOG_SET_REGION_SYNC:
      return andThen(log.setRegionSync(request.region, request.inSync), outcome);
    case ULOG_IS_REMOTE_RECOVERING:
      return andThen(log.isRemoteRecovering(request.region), (answer) =>
        success(encodeRemoteRecovering(answer)),
      );
    default:
      return unreachable('A request that needs no live log');
  }
}

function outcome(result: IoResult | NoAnswer): Given {
  if (result === NO_ANSWER) return NO_ANSWER;
  return result === OK ? success() : refusal(result);
}

const NO_REGIONS: readonly Region[] = [];

function regionsOf(request: UlogRequest): readonly Region[] {
  if ('regions' in request) return request.regions;
  return 'region' in request ? [request.region] : NO_REGIONS;
}
