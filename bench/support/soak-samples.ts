/** What the soak looks at every second, and when it calls it flat. */
import { readdirSync, readFileSync } from 'node:fs'

export interface Sample {
  /** Since the begin of the run. */
  readonly seconds: number
  readonly rssMb: number
  /** In use, after the last collection or before the next. */
  readonly heapMb: number
  readonly files: number
  /** Of the last second, as prom-client's default metrics have it. */
  readonly loopLagMs: number
  /** Of the writes of the last second. */
  readonly writeP99Ms: number
  /** As clients see it, over the last ten seconds. */
  readonly clientP99Ms: number
  /** Of the sink that is furthest behind. */
  readonly lagEvents: number
  readonly logMb: number
  /** Events since the begin of the run. */
  readonly committed: number
}

const MB = 1e6
/** Of the histogram of writes, with each sample: upper bound in seconds, count. */
const buckets = new WeakMap<Sample, ReadonlyMap<number, number>>()

export async function takeSample(
  pid: number,
  adminUrl: string,
  seconds: number,
  clientP99Ms: number,
  before: Sample | undefined,
): Promise<Sample> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
  const now = new Map(
    [...text.matchAll(/^millrace_write_duration_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm)].map(
      ([, bound, count]) => [bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), Number(count)] as const,
    ),
  )
  const lags = [...text.matchAll(/^millrace_delivery_lag_events\{[^}]*\} (\d+)$/gm)].map(([, events]) => Number(events))
  const sample: Sample = {
    seconds,
    rssMb: (Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024) / MB,
    heapMb: value('nodejs_heap_size_used_bytes') / MB,
    files: readdirSync(`/proc/${pid}/fd`).length,
    loopLagMs: value('nodejs_eventloop_lag_p99_seconds') * 1000,
    writeP99Ms: p99(now, before && buckets.get(before)) * 1000,
    clientP99Ms,
    lagEvents: Math.max(...lags),
    logMb: value('millrace_log_bytes') / MB,
    committed: value('millrace_events_committed_total'),
  }
  buckets.set(sample, now)
  return sample
}

/** Within the bucket where it falls, linearly, as Prometheus does it. */
function p99(now: ReadonlyMap<number, number>, before: ReadonlyMap<number, number> | undefined): number {
  const counts = [...now].map(([bound, count]) => [bound, count - (before?.get(bound) ?? 0)] as const)
  const rank = 0.99 * (counts.at(-1)?.[1] ?? 0)
  let [lower, below] = [0, 0]
  for (const [bound, count] of counts) {
    if (count >= rank && rank > 0)
      return Number.isFinite(bound) ? lower + ((bound - lower) * (rank - below)) / (count - below) : lower
    ;[lower, below] = [bound, count]
  }
  return Number.NaN
}

/** Slope by least squares, in units a second, and the middle of the line. */
export function trend(samples: readonly Sample[], of: keyof Sample): { slope: number; seconds: number; value: number } {
  const sound = samples.filter((sample) => Number.isFinite(sample[of]))
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(sound.map(({ seconds }) => seconds)), mean(sound.map((sample) => sample[of]))]
  const covariance = sound.reduce((sum, sample) => sum + (sample.seconds - x) * (sample[of] - y), 0)
  return { slope: covariance / sound.reduce((sum, { seconds }) => sum + (seconds - x) ** 2, 0), seconds: x, value: y }
}

const RSS_MB_PER_HOUR = 24
const RSS_MB = 3
const SHARE = 0.1
/** Other work on the machine makes as much of a difference. */
const LATENCY_FACTOR = 2
const LAG_SECONDS = 10
export const SHORT_MINUTES = 5

export interface Verdict {
  readonly isFlat: boolean
  readonly slopes: Readonly<Record<string, number>>
  readonly lines: readonly string[]
}

export function judge(
  samples: readonly Sample[],
  run: { minutes: number; eventsPerSecond: number; refused: number; exitCode: number | null; logMaxMb: number },
): Verdict {
  const half = samples.slice(Math.floor(samples.length / 2))
  const halfSeconds = (half.at(-1)?.seconds ?? 0) - (half[0]?.seconds ?? 0)
  const mean = (of: keyof Sample) =>
    half.reduce((sum, sample) => sum + (Number.isFinite(sample[of]) ? sample[of] : 0), 0) / half.length
  const most = (of: keyof Sample) => Math.max(...samples.map((sample) => sample[of]).filter(Number.isFinite))
  const rss = trend(half, 'rssMb').slope
  const complaints: string[] = []
  const slopes: Record<string, number> = { rssMbPerHour: rss * 3600 }
  const lines = [
    `${samples.at(-1)?.committed ?? 0} events in ${run.minutes} minutes; at most ${most('rssMb').toFixed(0)} MB resident, ${most('files')} files open, ${most('lagEvents')} events behind, ${most('logMb').toFixed(0)} MB of log`,
    `resident memory: ${(rss * 3600).toFixed(1)} MB an hour over the second half (mean ${mean('rssMb').toFixed(1)} MB)`,
  ]
  const isLong = run.minutes >= SHORT_MINUTES
  if (isLong && rss * 3600 > RSS_MB_PER_HOUR && rss * halfSeconds > RSS_MB) complaints.push('resident memory grows')
  for (const name of ['heapMb', 'files'] as const) {
    const growth = (trend(half, name).slope * halfSeconds) / mean(name)
    slopes[`${name}GrowthShare`] = growth
    lines.push(
      `${name}: mean ${mean(name).toFixed(2)}, ${(100 * growth).toFixed(1)} % more at the end of the second half than at its begin`,
    )
    if (isLong && growth > SHARE) complaints.push(`${name} grows`)
  }
  // By medians: of a second in which something else had the disk, a regression would make a trend.
  const [early, late] = [quarter(samples, 1), quarter(samples, 3)].map((part) => medianOf(part, 'writeP99Ms'))
  lines.push(`p99 of a write: median ${early?.toFixed(1)} ms in the second quarter, ${late?.toFixed(1)} ms in the last`)
  if (isLong && (late ?? 0) > LATENCY_FACTOR * (early ?? 0)) complaints.push('the p99 of a write grows')
  if (run.refused > 0) complaints.push(`${run.refused} requests were refused`)
  if ((samples.at(-1)?.lagEvents ?? 0) > LAG_SECONDS * run.eventsPerSecond) complaints.push('a sink falls behind')
  if (most('logMb') > run.logMaxMb) complaints.push('the log is over its limit')
  if (run.exitCode !== 0) complaints.push(`the service ended with ${run.exitCode}`)
  const verdict = isLong ? 'flat' : 'sound (too short for slopes)'
  lines.push(complaints.length === 0 ? verdict : `not flat: ${complaints.join(', ')}`)
  return { isFlat: complaints.length === 0, slopes, lines }
}

function quarter(samples: readonly Sample[], at: number): readonly Sample[] {
  return samples.slice(Math.floor((samples.length * at) / 4), Math.floor((samples.length * (at + 1)) / 4))
}

function medianOf(samples: readonly Sample[], name: keyof Sample): number {
  const sorted = samples
    .map((sample) => sample[name])
    .filter(Number.isFinite)
    .sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
