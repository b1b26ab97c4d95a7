/**
 * `millrace send`: sends events to a service, with a progress bar and a latency summary. With a rate it is an open
 * loop: each request has a due time, and latency counts from that time. So a service that stalls cannot hide that by
 * slowing the client down (coordinated omission, G. Tene).
 *
 *     input ─▶ events with their lines ─▶ requests ─▶ answers ─▶ outcome of each event
 *                                            ▲            │
 *                                            └── halves ──┘ whole request refused: find the faulty events
 */
import { statSync } from 'node:fs'
import { createHistogram } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import { MillraceError } from '../errors.ts'
import { printable } from '../process/printable.ts'
import { onStopSignal } from '../process/signals.ts'
import { endpoint, requireHeaderText } from './address.ts'
import { openInput, readEvents } from './input.ts'
import { EXIT_FAILED, note, print } from './output.ts'
import { type Answer, post, type Target } from './post.ts'
import { bodyOf, generated, type Limits, requests, type Sent } from './requests.ts'
import { Tally } from './tally.ts'

export interface SendOptions {
  /** File with the events; `-`: standard input; undefined: generate events. */
  readonly file?: string | undefined
  readonly url: string
  readonly key?: string
  /** Events to generate. */
  readonly count: number
  /** Events a second; 0: no limit. */
  readonly rate: number
  /** Most events and most bytes in a request. A larger event is sent alone. */
  readonly batch: number
  readonly maxBytes: number
  /** Concurrent requests. */
  readonly concurrency: number
  readonly quiet?: boolean
}

/** How often a valid event that was not stored is sent again. */
const MAX_ROUNDS = 20
const ROUND_PAUSE_MS = 1000
const MICROSECONDS = 1000

/** @returns whether every event was accepted. */
export async function send(options: SendOptions): Promise<boolean> {
  const { file, url: given, key, count, rate, batch, maxBytes, concurrency, quiet } = options
  const headers = key ? { authorization: `Bearer ${requireHeaderText('--key', key)}` } : {}
  const target: Target = { url: endpoint('--url', given, '/v1/events'), headers }
  const limits: Limits = { events: batch, bytes: maxBytes }
  const tally = new Tally(file === undefined ? 'event' : 'line')
  const input = file === undefined ? undefined : openInput(file)
  const parts = input === undefined ? generated(count) : readEvents(input.stream, input.name)
  const groups = requests(parts, limits, (line, problem) => tally.reject(line, problem))
  const bar = progress(quiet !== true, file, count, () =>
    input === undefined ? tally.settled : bytesRead(input.stream),
  )

  const stop = new AbortController()
  const ended = () => input?.stream.destroy()
  stop.signal.addEventListener('abort', ended)
  const forget = onStopSignal({
    onStop: (signal) => {
      tally.stop(`by ${signal}`)
      stop.abort()
    },
    onAgain: () => process.exit(EXIT_FAILED),
  })

  const latency = createHistogram()
  const startedAt = performance.now()
  let begun = 0
  const worker = async () => {
    while (!stop.signal.aborted) {
      const { value: group, done } = await groups.next()
      if (done) return
      tally.read(group)
      let dueAt = performance.now()
      if (rate > 0) {
        dueAt = startedAt + (begun / rate) * 1000
        begun += group.length
        const waitMs = dueAt - performance.now()
        if (waitMs > 0) await sleep(waitMs, undefined, { signal: stop.signal }).catch(() => undefined)
      }
      await sendGroup(group, target, limits, tally, stop)
      latency.record(Math.max(1, Math.round((performance.now() - dueAt) * MICROSECONDS)))
      bar.update()
    }
  }
  const workers = await Promise.allSettled(Array.from({ length: concurrency }, worker))
  forget()
  bar.stop()
  // An input error ends the command, after the events that were read before it are sent.
  const failure: unknown = workers.find((one) => one.status === 'rejected')?.reason
  if (failure !== undefined && !stop.signal.aborted) {
    if (!(failure instanceof MillraceError && tally.hasRead)) throw failure
    tally.stop(failure.message)
  }

  const seconds = (performance.now() - startedAt) / 1000
  const ms = (microseconds: number) => `${(microseconds / MICROSECONDS).toFixed(1)} ms`
  await print(tally.summary())
  await print(`${seconds.toFixed(2)} s, ${Math.round(tally.accepted / seconds)} events/s`)
  if (latency.count > 0) {
    const [p50, p99, p999] = [50, 99, 99.9].map((percentile) => ms(latency.percentile(percentile)))
    await print(`latency of a request: p50 ${p50}, p99 ${p99}, p99.9 ${p999}, max ${ms(latency.max)}`)
  }
  for (const line of tally.report()) note(printable(line))
  return tally.isComplete
}

/** Sends a group. If the whole request is refused, it sends the halves separately. */
async function sendGroup(
  whole: readonly Sent[],
  target: Target,
  limits: Limits,
  tally: Tally,
  stop: AbortController,
): Promise<void> {
  const waiting: { readonly group: readonly Sent[]; readonly round: number }[] = [{ group: whole, round: 1 }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { group, round } = next
    if (stop.signal.aborted) {
      tally.fail(group)
      continue
    }
    const body = bodyOf(group)
    const answer: Answer = await post(target, body, limits.bytes, tally.retries, stop.signal)
    switch (answer.kind) {
      case 'taken': {
        const again = tally.take(group, answer.accepted, answer.duplicates, answer.rejected, round < MAX_ROUNDS)
        if (again.length === 0) break
        tally.retries.refused += 1
        await sleep(ROUND_PAUSE_MS, undefined, { signal: stop.signal }).catch(() => undefined)
        waiting.push({ group: again, round: round + 1 })
        break
      }
      case 'refused': {
        const [first] = group
        if (group.length === 1 && first !== undefined) {
          tally.reject(first.line, answer.problem)
          break
        }
        // Limit the next requests to a size that may be accepted.
        if (answer.isTooLarge) limits.bytes = Math.min(limits.bytes, Math.ceil(body.length / 2))
        const half = Math.ceil(group.length / 2)
        waiting.push({ group: group.slice(half), round }, { group: group.slice(0, half), round })
        break
      }
      case 'hopeless':
        tally.fail(group)
        tally.stop(answer.problem)
        stop.abort()
    }
  }
}

function progress(
  isWanted: boolean,
  file: string | undefined,
  count: number,
  done: () => number,
): { update(): void; stop(): void } {
  const total = file === undefined ? count : file === '-' ? 0 : (statSync(file, { throwIfNoEntry: false })?.size ?? 0)
  if (!(isWanted && process.stderr.isTTY && total > 0)) return { update: () => undefined, stop: () => undefined }
  const unit = file === undefined ? 'events' : 'bytes'
  const format = `{bar} {percentage}% | {value}/{total} ${unit} | {duration_formatted} | {eta_formatted} left`
  const bar = new SingleBar({ format }, Presets.shades_classic)
  bar.start(total, 0)
  return { update: () => bar.update(done()), stop: () => bar.stop() }
}

function bytesRead(stream: unknown): number {
  return (stream as { readonly bytesRead?: number }).bytesRead ?? 0
}
