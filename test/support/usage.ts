/** What a process has used, as the kernel counts it. */
import { readFileSync } from 'node:fs'

export interface CoreTime {
  /** Of its main thread, milliseconds: running, and ready to run while others had the core. */
  readonly runningMs: number
  readonly waitingMs: number
}

const MIB = 2 ** 20
const NS_PER_MS = 1e6

function status(pid: number, field: string): number {
  const kib = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return (Number(kib) * 1024) / MIB
}

/** Most resident memory since the process began, MiB. */
export const peakMib = (pid: number) => status(pid, 'VmHWM')

export function coreTime(pid: number): CoreTime {
  const [running = 0, waiting = 0] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ').map(Number)
  return { runningMs: running / NS_PER_MS, waitingMs: waiting / NS_PER_MS }
}

/** Core time since `before`. */
export function coreTimeSince(pid: number, before: CoreTime): CoreTime {
  const { runningMs, waitingMs } = coreTime(pid)
  return { runningMs: runningMs - before.runningMs, waitingMs: waitingMs - before.waitingMs }
}

/** How much longer everything took than on a core of its own: 1 when nobody else wanted it. */
export function slowdown({ runningMs, waitingMs }: CoreTime): number {
  return (runningMs + waitingMs) / runningMs
}
