/**
 * Which process this is, among all on all hosts and after every restart; and whether another one on
 * this host has surely ended.
 */

import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** `HOST BOOT PID START`: the host, its boot, the process and when it began. */
export function processIdentity(): string {
  return `${hostname()} ${bootId()} ${process.pid} ${startOf(process.pid)}`;
}

/** False also where nobody here can know. */
export function hasProcessEnded(identity: string): boolean {
  const [host, boot, pidWord, start] = identity.split(' ');
  const pid = Number(pidWord);
  if (host !== hostname() || !Number.isSafeInteger(pid) || pid <= 0) return false;
  // Since the last boot no process of before is there.
  return boot !== bootId() || startOf(pid) !== start;
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
