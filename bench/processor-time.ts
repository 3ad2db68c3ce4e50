// What a process has cost so far, as the kernel counts it.
import { readdirSync, readFileSync } from 'node:fs';

/** Of /proc/PID/stat, a second: sysconf(_SC_CLK_TCK) on every Linux of today. */
const TICKS = 100;

/** User and system time of all threads, in seconds; proc(5). */
export function processorTime(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return sum + (Number(stat[11]) + Number(stat[12])) / TICKS;
  }, 0);
}
