/**
 * Which process this is, among all on all hosts and after every restart; and whether another one on
 * this host has surely ended.
 */

import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** `HOST BOOT PID START NAMESPACE`: the process, when it began, and where its number is known. */
export function processIdentity(): string {
  return [hostname(), bootId(), process.pid, startOf(process.pid), pidNamespace()].join(' ');
}

/**
 * False also where nobody here can know: of another boot, which may be that of another host with
 * the same name, and of another container, whose processes are not seen here while they live.
 */
export function hasProcessEnded(identity: string): boolean {
  const [host, boot, pidWord, start, namespace] = identity.split(' ');
  const pid = Number(pidWord);
  if (host !== hostname() || !Number.isSafeInteger(pid) || pid <= 0) return false;
  const isSeenHere = boot === bootId() && namespace === pidNamespace();
  return isSeenHere && startOf(pid) !== start;
}

/** Another one in each container. */
function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return 'unknown';
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

/** In clock ticks since boot; "" where there is no such process, or none that runs. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold anything; fields are counted behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const isOver = fields[0] === 'Z' || fields[0] === 'X';
    return isOver ? '' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
