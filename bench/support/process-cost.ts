/** What a process and its children have used, from /proc. Nothing where there is no /proc: NaN, and the page leaves it out. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

export interface ProcessCost {
  /** User and system time of all threads. */
  readonly cpuSeconds: number
  readonly rssMib: number
  /** The sum of each process's own peak; pages that processes share count in each. */
  readonly peakRssMib: number
}

const KIB_IN_MIB = 1024
/** Places in /proc/<pid>/stat behind the name, which may hold spaces (proc(5): 4, 14 and 15). */
const PARENT = 1
const USER_TICKS = 11
const SYSTEM_TICKS = 12

let ticksPerSecond: number | undefined

/** @param pid of a server; those it has started count with it. */
export function costOf(pid: number): ProcessCost {
  if (process.platform !== 'linux') return { cpuSeconds: Number.NaN, rssMib: Number.NaN, peakRssMib: Number.NaN }
  ticksPerSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  const stats = new Map(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [Number(name), statOf(Number(name))]),
  )
  let [ticks, rss, peak] = [0, 0, 0]
  for (const [one, fields] of stats) {
    if (fields.length === 0 || !descends(one, pid, stats)) continue
    const status = read(`/proc/${one}/status`)
    ticks += Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS])
    rss += kib(status, 'VmRSS')
    peak += kib(status, 'VmHWM')
  }
  return { cpuSeconds: ticks / ticksPerSecond, rssMib: rss / KIB_IN_MIB, peakRssMib: peak / KIB_IN_MIB }
}

function descends(pid: number, from: number, stats: ReadonlyMap<number, readonly string[]>): boolean {
  for (let one = pid; one > 1; one = Number(stats.get(one)?.[PARENT] ?? 0)) if (one === from) return true
  return false
}

function statOf(pid: number): string[] {
  const text = read(`/proc/${pid}/stat`)
  return text === '' ? [] : text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function kib(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
}

/** Empty when the process has ended meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
