/**
 * The registry, built from the contract (metrics-contract.ts). Counts are plain numbers that prom-client reads at a
 * scrape, so an event costs an addition. Values that the pipeline knows (the end of the log, the progress of a consumer)
 * are read from there and not counted again. So metrics cannot disagree with the pipeline.
 *
 * Conservation, at any scrape at rest:
 *     received  = committed + rejected + in flight
 *     committed = delivered + dead-lettered + damaged + lag      for each sink
 *
 * This also holds over restarts. Committed and delivered come from the log. Received and rejected are kept in a small
 * file that is written before a scrape is answered, so a scraped counter never goes back.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { MillraceError } from '../errors.ts'
import type { Log, Settled } from '../log/log.ts'
import type { Counts, ThreadCounts } from './counts.ts'
import { type Bucket, PlainHistogram } from './histogram.ts'
import {
  ATTEMPT_OUTCOMES,
  type AttemptOutcome,
  HOOK_RESULTS,
  type HookResult,
  type KeyOfType,
  METRICS,
  type MetricKey,
  metricName,
  REFUSE_REASONS,
  REJECT_REASONS,
  type RefuseReason,
  type RejectReason,
} from './metrics-contract.ts'

const UTILIZATION_EVERY_MS = 1000
const COUNTS_FILE = 'counters.json'
const COUNTS_VERSION = 1

/** The counts with which a restart continues. */
interface SavedCounts {
  /** Absent in old files: version 1. */
  readonly version?: number
  readonly received?: number
  readonly rejected?: Readonly<Record<string, number>>
  readonly refusedRequests?: Readonly<Record<string, number>>
  readonly logFailures?: number
}

/** The counts of the public listener, including those of its threads. */
export class IngestCounts implements Counts {
  readonly writeDuration: Pick<PlainHistogram, 'observe'> & Partial<Pick<PlainHistogram, 'include'>>
  #received = 0
  readonly #rejected = new Map<string, number>(REJECT_REASONS.map((reason) => [reason, 0]))
  readonly #refusedRequests = new Map<string, number>(Object.keys(REFUSE_REASONS).map((reason) => [reason, 0]))
  readonly #hookRequests = new Map<string, number>()
  /** Events in flight in the main thread. */
  inFlight = 0
  readonly #threads: ThreadCounts[] = []

  constructor(writeDuration: IngestCounts['writeDuration']) {
    this.writeDuration = writeDuration
  }

  /** Includes the counts of a thread in the totals. */
  include(thread: ThreadCounts): void {
    this.#threads.push(thread)
    this.writeDuration.include?.(thread.writeDuration)
  }

  received(events: number): void {
    this.#received += events
  }

  reject(reason: RejectReason, events: number): void {
    add(this.#rejected, reason, events)
  }

  refuseRequest(reason: RefuseReason): void {
    add(this.#refusedRequests, reason, 1)
  }

  hookRequest(place: number, result: HookResult): void {
    add(this.#hookRequests, `${place} ${result}`, 1)
  }

  hookRequestsTotal(place: number, result: HookResult): number {
    const own = this.#hookRequests.get(`${place} ${result}`) ?? 0
    return this.#threads.reduce((sum, thread) => sum + thread.hookRequestsTotal(place, result), own)
  }

  get receivedTotal(): number {
    return this.#threads.reduce((sum, { receivedTotal }) => sum + receivedTotal, this.#received)
  }

  get rejectedTotal(): ReadonlyMap<string, number> {
    return this.#sum(this.#rejected, (thread) => thread.rejectedTotal())
  }

  get refusedRequestsTotal(): ReadonlyMap<string, number> {
    return this.#sum(this.#refusedRequests, (thread) => thread.refusedRequestsTotal())
  }

  get inFlightTotal(): number {
    return this.#threads.reduce((sum, { inFlight }) => sum + inFlight, this.inFlight)
  }

  #sum(own: Map<string, number>, read: (thread: ThreadCounts) => Map<string, number>): Map<string, number> {
    if (this.#threads.length === 0) return own
    const sum = new Map(own)
    for (const thread of this.#threads) for (const [reason, count] of read(thread)) add(sum, reason, count)
    return sum
  }

  /**
   * Continues with the counts of the last process. Events that were neither committed nor rejected when it was killed
   * got no answer: they count as `interrupted`.
   */
  restore(saved: SavedCounts, committed: number): void {
    for (const [reason, events] of Object.entries(saved.rejected ?? {})) add(this.#rejected, reason, events)
    for (const [reason, requests] of Object.entries(saved.refusedRequests ?? {}))
      add(this.#refusedRequests, reason, requests)
    const rejected = this.#rejected.values().reduce((sum, events) => sum + events, 0)
    this.#received = Math.max(saved.received ?? 0, committed + rejected)
    const interrupted = this.#received - committed - rejected
    if (interrupted > 0) this.reject('interrupted', interrupted)
  }
}

function add(counts: Map<string, number>, label: string, more: number): void {
  counts.set(label, (counts.get(label) ?? 0) + more)
}

/** The state of one sink, from its delivery. */
export interface DeliveryView {
  readonly sink: string
  readonly settled: Settled
  readonly replayedTotal: number
  readonly filteredTotal: number
  readonly deadLettersPending: number
  readonly lagEvents: number
  readonly lagSeconds: number
  readonly readErrorsTotal: number
  readonly failing: boolean
  readonly attempts: ReadonlyMap<AttemptOutcome, number>
}

export interface ThreadsView {
  /** Events in the channels of all threads. Each thread reports it at least once a second, and when it becomes 0. */
  readonly waitingEvents: number
  readonly waitingBytes: number
  /** Fill of the fullest channel, and event-loop use of the busiest thread in the last one to two seconds (0–1). */
  readonly fill: number
  readonly loopUse: number
}

/**
 * Call this before anything is written to the directory, because a later version of Millrace may have used it.
 * @throws MillraceError LOG_FORMAT when a later version wrote the counts in a format that this one does not know.
 */
export function requireKnownCounts(directory: string | undefined): void {
  const version = directory === undefined ? undefined : savedIn(directory).version
  if (typeof version !== 'number' || version <= COUNTS_VERSION) return
  const file = join(String(directory), COUNTS_FILE)
  const fix = 'start that version, point DATA_DIR to another directory, or remove the file to count from 0 again'
  throw new MillraceError('LOG_FORMAT', `a later version of Millrace wrote ${file}: ${fix}`)
}

function savedIn(directory: string): SavedCounts {
  try {
    return JSON.parse(readFileSync(join(directory, COUNTS_FILE), 'utf8'))
  } catch {
    return {} // the first start, or an incomplete file: start with the counts of the log
  }
}

/** What waits for the log: in the main channel and in those of threads, each of which has a share of the capacity. */
export function waiting({ channel, threads, capacityEvents, capacityBytes }: PipelineView) {
  const events = channel.slots + (threads?.waitingEvents ?? 0)
  const bytes = channel.bytes + (threads?.waitingBytes ?? 0)
  const fill = Math.min(1, Math.max(events / capacityEvents, bytes / capacityBytes, threads?.fill ?? 0))
  return { events, bytes, fill }
}

export interface PipelineView {
  /** The channel's receiver: slots are events. */
  readonly channel: { readonly slots: number; readonly bytes: number }
  /** Threads of the public listener, each with its own channel. Default: none. */
  readonly threads?: ThreadsView | undefined
  readonly capacityEvents: number
  readonly capacityBytes: number
  readonly log: Pick<Log, 'committedEvents' | 'sizeBytes' | 'fill'>
  readonly deliveries: readonly DeliveryView[]
  /** Names of the webhooks that are accepted. Default: none. */
  readonly hooks?: readonly string[]
}

export class Metrics {
  readonly registry = new Registry()
  readonly ingest: IngestCounts
  readonly #directory: string | undefined
  readonly #writeDuration: PlainHistogram
  readonly #syncDuration: PlainHistogram
  readonly #groupEvents: PlainHistogram
  #logFailures = 0
  #damages = 0
  #utilization: EventLoopUtilization = performance.eventLoopUtilization()
  #loopUse = 0
  readonly #timer: NodeJS.Timeout

  /** @param directory directory of the counts with which a restart continues; undefined: each process counts from 0. */
  constructor(directory: string | undefined, version: string, role: string) {
    this.#directory = directory
    collectDefaultMetrics({ register: this.registry })
    this.#writeDuration = this.#histogram('write_duration_seconds')
    this.ingest = new IngestCounts(this.#writeDuration)
    this.#syncDuration = this.#histogram('log_sync_duration_seconds')
    this.#groupEvents = this.#histogram('log_group_events')
    new Gauge(this.#options('build_info')).set({ version, role, node: process.version }, 1)
    this.#timer = setInterval(() => this.#sampleLoop(), UTILIZATION_EVERY_MS).unref()
  }

  /** @param committed number of events in the log. */
  restore(committed: number): void {
    if (this.#directory === undefined) return
    const saved = savedIn(this.#directory)
    this.#logFailures = saved.logFailures ?? 0
    this.ingest.restore(saved, committed)
  }

  synced(durationMs: number, groupEvents: number): void {
    this.#syncDuration.observe(durationMs / 1000)
    this.#groupEvents.observe(groupEvents)
  }

  damaged(): void {
    this.#damages += 1
  }

  /** Counts a failure of the log. The process is about to end, so the next process will show it. */
  logFailed(): void {
    this.#logFailures += 1
    this.#save()
  }

  /** Registers the metrics that are read from the pipeline at each scrape. */
  observe(view: PipelineView): void {
    const { ingest } = this
    const { log, deliveries } = view
    this.#counter('events_received_total', () => ingest.receivedTotal)
    this.#labelled('events_rejected_total', 'reason', () => ingest.rejectedTotal)
    this.#labelled('requests_refused_total', 'reason', () => ingest.refusedRequestsTotal)
    this.#counter('events_committed_total', () => log.committedEvents)
    this.#gauge('events_in_flight', () => ingest.inFlightTotal)
    this.#gauge('channel_events', () => waiting(view).events)
    this.#gauge('channel_bytes', () => waiting(view).bytes)
    this.#gauge('channel_capacity_events', () => view.capacityEvents)
    this.#gauge('log_bytes', () => log.sizeBytes)
    this.#gauge('log_fill_ratio', () => log.fill)
    this.#counter('log_failures_total', () => this.#logFailures)
    this.#counter('log_damages_total', () => this.#damages)
    this.#gauge('saturation_ratio', () => this.saturation(view))

    const perSink = (read: (delivery: DeliveryView) => number) => () =>
      new Map(deliveries.map((delivery) => [delivery.sink, read(delivery)]))
    const counts: Partial<Record<KeyOfType<'counter'>, (delivery: DeliveryView) => number>> = {
      events_delivered_total: ({ settled }) => settled.delivered,
      events_dead_lettered_total: ({ settled }) => settled.deadLettered,
      events_damaged_total: ({ settled }) => settled.damaged,
      events_replayed_total: (d) => d.replayedTotal,
      events_filtered_total: (d) => d.filteredTotal,
      delivery_read_errors_total: (d) => d.readErrorsTotal,
    }
    for (const [key, read] of Object.entries(counts)) this.#labelled(key as keyof typeof counts, 'sink', perSink(read))
    const states: Partial<Record<KeyOfType<'gauge'>, (delivery: DeliveryView) => number>> = {
      dead_letters_pending: (d) => d.deadLettersPending,
      delivery_lag_events: (d) => d.lagEvents,
      delivery_lag_seconds: (d) => d.lagSeconds,
      sink_failing: (d) => Number(d.failing),
    }
    for (const [key, read] of Object.entries(states)) this.#gauges(key as keyof typeof states, perSink(read))
    const hookRequests = new Counter({
      ...this.#options('hook_requests_total'),
      collect: () => {
        hookRequests.reset()
        for (const [place, hook] of (view.hooks ?? []).entries()) {
          for (const result of HOOK_RESULTS) {
            hookRequests.inc({ hook, result }, ingest.hookRequestsTotal(place, result))
          }
        }
      },
    })
    const attempts = new Counter({
      ...this.#options('delivery_attempts_total'),
      collect: () => {
        attempts.reset()
        for (const { sink, attempts: counted } of deliveries) {
          for (const outcome of ATTEMPT_OUTCOMES) attempts.inc({ sink, outcome }, counted.get(outcome) ?? 0)
        }
      },
    })
  }

  /** Durations of writes, seconds. */
  writeBuckets(): Bucket[] {
    return this.#writeDuration.buckets()
  }

  /** Share of the last second that the event loop was busy (0–1). */
  get loopUse(): number {
    return this.#loopUse
  }

  saturation(view: PipelineView): number {
    return Math.min(1, Math.max(this.#loopUse, view.threads?.loopUse ?? 0, waiting(view).fill, view.log.fill))
  }

  /** The metrics in Prometheus text format. The counts are saved first, so that they never go back after a restart. */
  async scrape(): Promise<{ contentType: string; text: string }> {
    const text = await this.registry.metrics()
    this.#save()
    return { contentType: this.registry.contentType, text }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#save()
  }

  /** Saves the counts in a file that survives a kill of the process. It is not synced, so it costs no disk write. */
  #save(): void {
    if (this.#directory === undefined) return
    const path = join(this.#directory, COUNTS_FILE)
    const { receivedTotal, rejectedTotal, refusedRequestsTotal } = this.ingest
    const content: SavedCounts = {
      version: COUNTS_VERSION,
      received: receivedTotal,
      rejected: Object.fromEntries(rejectedTotal),
      refusedRequests: Object.fromEntries(refusedRequestsTotal),
      logFailures: this.#logFailures,
    }
    try {
      writeFileSync(`${path}.tmp`, `${JSON.stringify(content)}\n`)
      renameSync(`${path}.tmp`, path)
    } catch {} // metrics must stay available on a full disk, to show it
  }

  #sampleLoop(): void {
    const now = performance.eventLoopUtilization()
    this.#loopUse = performance.eventLoopUtilization(now, this.#utilization).utilization
    this.#utilization = now
  }

  #options(key: MetricKey) {
    const { help, labels } = METRICS[key]
    return { name: metricName(key), help, labelNames: [...labels], registers: [this.registry] }
  }

  #histogram(key: KeyOfType<'histogram'>): PlainHistogram {
    return new PlainHistogram({ ...this.#options(key), buckets: METRICS[key].buckets })
  }

  #counter(key: KeyOfType<'counter'>, read: () => number): void {
    const counter = new Counter({
      ...this.#options(key),
      collect: () => {
        counter.reset()
        counter.inc(read())
      },
    })
  }

  #labelled(key: KeyOfType<'counter'>, label: 'reason' | 'sink', read: () => ReadonlyMap<string, number>): void {
    const counter: Counter = new Counter({
      ...this.#options(key),
      collect: () => {
        counter.reset()
        for (const [value, count] of read()) counter.inc({ [label]: value }, count)
      },
    })
  }

  #gauge(key: KeyOfType<'gauge'>, read: () => number): void {
    const gauge: Gauge = new Gauge({ ...this.#options(key), collect: () => gauge.set(read()) })
  }

  #gauges(key: KeyOfType<'gauge'>, read: () => ReadonlyMap<string, number>): void {
    const gauge: Gauge = new Gauge({
      ...this.#options(key),
      collect: () => {
        for (const [sink, value] of read()) gauge.set({ sink }, value)
      },
    })
  }
}
