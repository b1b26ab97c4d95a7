/**
 * The data of the live page, taken once a second while there are viewers: totals, states, and the write latency of the
 * last ten seconds. The page calculates rates from totals, so a missed snapshot does no harm.
 */
import type { Bucket } from '../observability/histogram.ts'
import { type Metrics, type PipelineView, waiting } from '../observability/metrics.ts'

export interface SinkSnapshot {
  readonly sink: string
  readonly delivered: number
  readonly lagEvents: number
  readonly lagSeconds: number
  /** Why the sink is being retried, or null. */
  readonly failure: string | null
  readonly deadLettered: number
  readonly deadLettersPending: number
}

export interface Snapshot {
  readonly atMs: number
  readonly version: string
  readonly role: string
  readonly uptimeSeconds: number
  readonly received: number
  readonly committed: number
  /** Reason → count; only reasons that occurred. */
  readonly rejected: Readonly<Record<string, number>>
  /** Latency of the writes of the last WINDOW snapshots, milliseconds; null without writes. */
  readonly writeMs: { readonly p50: number; readonly p99: number; readonly p999: number } | null
  readonly channel: { readonly events: number; readonly capacityEvents: number }
  /** Shares, 0–1. */
  readonly channelFill: number
  readonly logFill: number
  readonly saturation: number
  readonly logBytes: number
  readonly process: { readonly cores: number; readonly rssBytes: number; readonly loopUse: number }
  readonly sinks: readonly SinkSnapshot[]
}

export interface SnapshotSource {
  readonly version: string
  readonly role: string
  readonly metrics: Pick<Metrics, 'ingest' | 'saturation' | 'loopUse' | 'writeBuckets'>
  readonly view: Omit<PipelineView, 'deliveries'> & {
    readonly deliveries: readonly (PipelineView['deliveries'][number] & { readonly failure: string | undefined })[]
  }
}

/** Snapshots in the latency window: one second has too few writes for a p99.9. */
const WINDOW = 10

/** Takes snapshots, and keeps the last ones for the latency. */
export class Snapshots {
  readonly #source: SnapshotSource
  /** Oldest first, at most WINDOW. */
  readonly #writes: (readonly Bucket[])[]
  #cpu = process.cpuUsage()
  #atMs = performance.now()

  constructor(source: SnapshotSource) {
    this.#source = source
    this.#writes = [source.metrics.writeBuckets()]
  }

  take(): Snapshot {
    const { version, role, metrics, view } = this.#source
    const { capacityEvents, log, deliveries } = view
    const { events, fill } = waiting(view)
    const [before = []] = this.#writes
    const writes = metrics.writeBuckets()
    this.#writes.push(writes)
    if (this.#writes.length > WINDOW) this.#writes.shift()
    const since = writes.map(({ upTo, count }, at) => ({ upTo, count: count - (before[at]?.count ?? 0) }))
    const used = process.cpuUsage(this.#cpu)
    const elapsedMs = performance.now() - this.#atMs
    this.#cpu = process.cpuUsage()
    this.#atMs = performance.now()
    return {
      atMs: Date.now(),
      version,
      role,
      uptimeSeconds: Math.round(process.uptime()),
      received: metrics.ingest.receivedTotal,
      committed: log.committedEvents,
      rejected: Object.fromEntries([...metrics.ingest.rejectedTotal].filter(([, count]) => count > 0)),
      writeMs: (since.at(-1)?.count ?? 0) > 0 ? quantilesMs(since) : null,
      channel: { events, capacityEvents },
      channelFill: fill,
      logFill: log.fill,
      saturation: metrics.saturation(view),
      logBytes: log.sizeBytes,
      process: {
        cores: (used.user + used.system) / 1000 / Math.max(1, elapsedMs),
        rssBytes: process.memoryUsage.rss(),
        loopUse: Math.max(metrics.loopUse, view.threads?.loopUse ?? 0),
      },
      sinks: deliveries.map((delivery) => ({
        sink: delivery.sink,
        delivered: delivery.settled.delivered,
        lagEvents: delivery.lagEvents,
        lagSeconds: delivery.lagSeconds,
        failure: delivery.failure ?? null,
        deadLettered: delivery.settled.deadLettered,
        deadLettersPending: delivery.deadLettersPending,
      })),
    }
  }
}

function quantilesMs(buckets: readonly Bucket[]): { p50: number; p99: number; p999: number } {
  const at = (share: number) => Math.round(quantile(buckets, share) * 1000 * 100) / 100
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
}

/** Interpolates within the bucket of the quantile, as Prometheus does. Above the last bound, it returns that bound. */
export function quantile(buckets: readonly Bucket[], share: number): number {
  const rank = share * (buckets.at(-1)?.count ?? 0)
  let lower = 0
  let below = 0
  for (const { upTo, count } of buckets) {
    if (count >= rank && count > below) {
      return Number.isFinite(upTo) ? lower + ((upTo - lower) * (rank - below)) / (count - below) : lower
    }
    if (Number.isFinite(upTo)) lower = upTo
    below = count
  }
  return lower
}
