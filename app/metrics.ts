/**
 * Every metric, named once. Counts are plain numbers; prom-client reads them when it is scraped, so an event costs an
 * addition. What the pipeline knows for good (the log's end, a consumer's progress) is read from there, not counted a
 * second time, so metrics cannot disagree with what happened.
 *
 * Conservation, at any scrape at rest:
 *     received  = committed + rejected + in flight
 *     committed = delivered + dead-lettered + damaged + lag      for each sink
 *
 * It holds over restarts: committed and delivered come from the log; received and rejected are kept in a small file
 * that is written before a scrape is answered, so a counter that was seen never goes back.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Log } from './log/log.ts'

const WRITE_BUCKETS_SECONDS = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 5]
const SYNC_BUCKETS_SECONDS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1]
const GROUP_BUCKETS_EVENTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000]
const UTILIZATION_EVERY_MS = 1000
const COUNTS_FILE = 'counters.json'

/** What the public listener counts. */
export class IngestCounts {
  readonly writeDuration: Histogram
  #received = 0
  readonly #rejected = new Map<string, number>()
  readonly #refusedRequests = new Map<string, number>()
  /** Events that wait in the channel or for their sync. */
  inFlight = 0

  constructor(writeDuration: Histogram) {
    this.writeDuration = writeDuration
  }

  received(events: number): void {
    this.#received += events
  }

  reject(reason: string, events: number): void {
    this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + events)
  }

  refuseRequest(reason: string): void {
    this.#refusedRequests.set(reason, (this.#refusedRequests.get(reason) ?? 0) + 1)
  }

  get receivedTotal(): number {
    return this.#received
  }

  get rejectedTotal(): ReadonlyMap<string, number> {
    return this.#rejected
  }

  get refusedRequestsTotal(): ReadonlyMap<string, number> {
    return this.#refusedRequests
  }

  /**
   * Goes on from what the last process counted. Events that were received, but neither committed nor rejected when it
   * was killed, got no answer: they are `interrupted`.
   */
  restore(directory: string, committed: number): void {
    let saved: { received?: number; rejected?: Record<string, number> } = {}
    try {
      saved = JSON.parse(readFileSync(join(directory, COUNTS_FILE), 'utf8'))
    } catch {} // the first start, or a file cut short: count from what the log knows
    for (const [reason, events] of Object.entries(saved.rejected ?? {})) this.reject(reason, events)
    const rejected = this.#rejected.values().reduce((sum, events) => sum + events, 0)
    this.#received = Math.max(saved.received ?? 0, committed + rejected)
    const interrupted = this.#received - committed - rejected
    if (interrupted > 0) this.reject('interrupted', interrupted)
  }

  /** Survives a kill of the process, which is what counters are for; not synced, so it costs no disk write. */
  save(directory: string): void {
    const path = join(directory, COUNTS_FILE)
    const content = { received: this.#received, rejected: Object.fromEntries(this.#rejected) }
    try {
      writeFileSync(`${path}.tmp`, `${JSON.stringify(content)}\n`)
      renameSync(`${path}.tmp`, path)
    } catch {} // a full disk must not take the metrics down that would show it
  }
}

/** One sink, as its delivery shows it. */
export interface DeliveryView {
  readonly sink: string
  readonly deliveredTotal: number
  readonly deadLetteredTotal: number
  readonly damagedTotal: number
  readonly replayedTotal: number
  readonly deadLettersPending: number
  readonly lagEvents: number
  readonly lagSeconds: number
  readonly failing: boolean
  readonly attempts: ReadonlyMap<string, number>
}

export interface PipelineView {
  /** The channel's receiver: slots are events. */
  readonly channel: { readonly slots: number; readonly bytes: number }
  readonly capacityEvents: number
  readonly capacityBytes: number
  readonly log: Log
  readonly deliveries: readonly DeliveryView[]
}

export class Metrics {
  readonly registry = new Registry()
  readonly ingest: IngestCounts
  readonly #syncDuration: Histogram
  readonly #groupEvents: Histogram
  #damages = 0
  #utilization: EventLoopUtilization = performance.eventLoopUtilization()
  #loopUse = 0
  readonly #timer: NodeJS.Timeout

  constructor(version: string, role: string) {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry })
    const writeDuration = new Histogram({
      name: 'millrace_write_duration_seconds',
      help: 'From the body of a request read until its events are durable.',
      buckets: WRITE_BUCKETS_SECONDS,
      registers,
    })
    this.ingest = new IngestCounts(writeDuration)
    this.#syncDuration = new Histogram({
      name: 'millrace_log_sync_duration_seconds',
      help: 'fdatasync of one group.',
      buckets: SYNC_BUCKETS_SECONDS,
      registers,
    })
    this.#groupEvents = new Histogram({
      name: 'millrace_log_group_events',
      help: 'Events made durable by one sync.',
      buckets: GROUP_BUCKETS_EVENTS,
      registers,
    })
    new Gauge({
      name: 'millrace_build_info',
      help: 'Always 1; the labels say what runs.',
      labelNames: ['version', 'role', 'node'],
      registers,
    }).set({ version, role, node: process.version }, 1)
    this.#timer = setInterval(() => this.#sampleLoop(), UTILIZATION_EVERY_MS).unref()
  }

  synced(durationMs: number, groupEvents: number): void {
    this.#syncDuration.observe(durationMs / 1000)
    this.#groupEvents.observe(groupEvents)
  }

  damaged(): void {
    this.#damages += 1
  }

  /** Registers what is read from the pipeline at each scrape. */
  observe(view: PipelineView): void {
    const { ingest } = this
    const { channel, log, deliveries } = view
    this.#counter('events_received_total', 'Events in requests whose body could be parsed.', () => ingest.receivedTotal)
    this.#counters('events_rejected_total', 'Events not accepted, by reason.', 'reason', () => ingest.rejectedTotal)
    this.#counters(
      'requests_refused_total',
      'Requests answered with an error, by reason.',
      'reason',
      () => ingest.refusedRequestsTotal,
    )
    this.#counter('events_committed_total', 'Events made durable.', () => log.endOffset)
    this.#gauge('events_in_flight', 'Events received, not yet durable or rejected.', () => ingest.inFlight)
    this.#gauge('channel_events', 'Events waiting in the channel.', () => channel.slots)
    this.#gauge('channel_bytes', 'Bytes waiting in the channel.', () => channel.bytes)
    this.#gauge('channel_capacity_events', 'Events the channel can hold.', () => view.capacityEvents)
    this.#gauge('log_bytes', 'Bytes of all segments.', () => log.sizeBytes)
    this.#gauge('log_fill_ratio', 'Share of LOG_MAX_BYTES that sinks still need (0–1).', () => log.fill)
    this.#counter('log_damages_total', 'Damaged stretches of the log found since the start.', () => this.#damages)
    this.#gauge('saturation_ratio', 'Largest of event-loop use, channel fill and log fill (0–1).', () =>
      this.saturation(view),
    )

    const perSink = (read: (delivery: DeliveryView) => number) => () =>
      new Map(deliveries.map((delivery) => [delivery.sink, read(delivery)]))
    this.#counters(
      'events_delivered_total',
      'Events a sink has confirmed.',
      'sink',
      perSink((d) => d.deliveredTotal),
    )
    this.#counters(
      'events_dead_lettered_total',
      'Events given up on, kept as dead letters.',
      'sink',
      perSink((d) => d.deadLetteredTotal),
    )
    this.#counters(
      'events_damaged_total',
      'Events lost to damage of the log.',
      'sink',
      perSink((d) => d.damagedTotal),
    )
    this.#counters(
      'events_replayed_total',
      'Dead letters delivered after all.',
      'sink',
      perSink((d) => d.replayedTotal),
    )
    this.#gauges(
      'dead_letters_pending',
      'Dead letters not replayed yet.',
      perSink((d) => d.deadLettersPending),
    )
    this.#gauges(
      'delivery_lag_events',
      'Durable events not yet settled.',
      perSink((d) => d.lagEvents),
    )
    this.#gauges(
      'delivery_lag_seconds',
      'Age of the oldest event not yet settled.',
      perSink((d) => d.lagSeconds),
    )
    this.#gauges(
      'sink_failing',
      '1 while the sink is being retried.',
      perSink((d) => Number(d.failing)),
    )
    const attempts = new Counter({
      name: 'millrace_delivery_attempts_total',
      help: 'Batches given to a sink, by what came of it.',
      labelNames: ['sink', 'outcome'],
      registers: [this.registry],
      collect: () => {
        attempts.reset()
        for (const delivery of deliveries) {
          for (const [outcome, count] of delivery.attempts) attempts.inc({ sink: delivery.sink, outcome }, count)
        }
      },
    })
  }

  saturation({ channel, capacityEvents, capacityBytes, log }: PipelineView): number {
    return Math.min(1, Math.max(this.#loopUse, channel.slots / capacityEvents, channel.bytes / capacityBytes, log.fill))
  }

  /** The metrics in Prometheus text format; what they count is saved first, so that no restart takes it back. */
  async scrape(directory: string): Promise<{ contentType: string; text: string }> {
    const text = await this.registry.metrics()
    this.ingest.save(directory)
    return { contentType: this.registry.contentType, text }
  }

  close(directory: string): void {
    clearInterval(this.#timer)
    this.ingest.save(directory)
  }

  #sampleLoop(): void {
    const now = performance.eventLoopUtilization()
    this.#loopUse = performance.eventLoopUtilization(now, this.#utilization).utilization
    this.#utilization = now
  }

  #counter(name: string, help: string, read: () => number): void {
    const counter = new Counter({
      name: `millrace_${name}`,
      help,
      registers: [this.registry],
      collect: () => {
        counter.reset()
        counter.inc(read())
      },
    })
  }

  #counters(name: string, help: string, label: string, read: () => ReadonlyMap<string, number>): void {
    const counter = new Counter({
      name: `millrace_${name}`,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect: () => {
        counter.reset()
        for (const [value, count] of read()) counter.inc({ [label]: value }, count)
      },
    })
  }

  #gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({
      name: `millrace_${name}`,
      help,
      registers: [this.registry],
      collect: () => gauge.set(read()),
    })
  }

  #gauges(name: string, help: string, read: () => ReadonlyMap<string, number>): void {
    const gauge = new Gauge({
      name: `millrace_${name}`,
      help,
      labelNames: ['sink'],
      registers: [this.registry],
      collect: () => {
        for (const [sink, value] of read()) gauge.set({ sink }, value)
      },
    })
  }
}
