/**
 * `millrace send`: events to a service, with a progress bar and a latency summary. With a rate it is an open loop: each
 * request has its due time, and latency counts from there, so that a service that stalls cannot hide it by slowing the
 * client down (coordinated omission, G. Tene).
 */
import { createReadStream, statSync } from 'node:fs'
import { createHistogram } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import { MillraceError, messageOf } from '../errors.ts'
import { lines } from './lines.ts'

export interface SendOptions {
  /** NDJSON file, `-` for standard input, undefined to generate. */
  readonly file?: string | undefined
  readonly url: string
  readonly key?: string
  /** Events to generate. */
  readonly count: number
  /** Events a second; 0 for no limit. */
  readonly rate: number
  /** Events a request. */
  readonly batch: number
  /** Requests at once. */
  readonly concurrency: number
  readonly quiet?: boolean
}

interface Chunk {
  readonly body: string
  readonly events: number
  readonly bytes: number
}

/** A refused request is sent again, as its Retry-After says, this often. */
const MAX_TRIES = 20
const MICROSECONDS = 1000

/** @returns whether every event was accepted. */
export async function send(options: SendOptions): Promise<boolean> {
  const { file, url, count, rate, batch, concurrency, quiet } = options
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new MillraceError('CONFIG_INVALID', `--url ${JSON.stringify(url)} does not begin with http:// or https://`)
  }
  const chunks = file === undefined ? generate(count, batch) : readChunks(file, batch)
  const total = file === undefined ? count : file === '-' ? 0 : sizeOf(file)
  const unit = file === undefined ? 'events' : 'bytes'
  const bar = new SingleBar(
    { format: `{bar} {percentage}% | {value}/{total} ${unit} | {duration_formatted} | {eta_formatted} left` },
    Presets.shades_classic,
  )
  const shown = !quiet && process.stderr.isTTY && total > 0
  if (shown) bar.start(total, 0)

  const latency = createHistogram()
  const tally = { accepted: 0, rejected: 0, failed: 0, retries: 0, firstProblem: '' }
  const startedAt = performance.now()
  let begun = 0
  const worker = async () => {
    for (;;) {
      const { value: chunk, done } = await chunks.next()
      if (done) return
      let dueAt = performance.now()
      if (rate > 0) {
        dueAt = startedAt + (begun / rate) * 1000
        begun += chunk.events
        const waitMs = dueAt - performance.now()
        if (waitMs > 0) await sleep(waitMs)
      }
      await sendChunk(chunk, options, tally)
      latency.record(Math.max(1, Math.round((performance.now() - dueAt) * MICROSECONDS)))
      if (shown) bar.increment(unit === 'events' ? chunk.events : chunk.bytes)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  if (shown) bar.stop()

  const seconds = (performance.now() - startedAt) / 1000
  const ms = (microseconds: number) => `${(microseconds / MICROSECONDS).toFixed(1)} ms`
  const { accepted, rejected, failed, retries, firstProblem } = tally
  const summary = [
    `accepted ${accepted}, rejected ${rejected}, failed ${failed}; ${retries} requests were refused for a moment and sent again`,
    `${seconds.toFixed(2)} s, ${Math.round(accepted / seconds)} events/s`,
    `latency of a request: p50 ${ms(latency.percentile(50))}, p99 ${ms(latency.percentile(99))}, p99.9 ${ms(latency.percentile(99.9))}, max ${ms(latency.max)}`,
    ...(firstProblem === '' ? [] : [`first problem: ${firstProblem}`]),
  ]
  process.stdout.write(`${summary.join('\n')}\n`)
  return rejected === 0 && failed === 0
}

async function sendChunk(
  chunk: Chunk,
  { url, key }: SendOptions,
  tally: { accepted: number; rejected: number; failed: number; retries: number; firstProblem: string },
): Promise<void> {
  const headers = { 'content-type': 'application/x-ndjson', ...(key && { authorization: `Bearer ${key}` }) }
  for (let tries = 1; ; tries++) {
    let problem: string
    let waitMs = 200
    try {
      const response = await fetch(new URL('/v1/events', url), { method: 'POST', headers, body: chunk.body })
      const answer = (await response.json()) as { accepted?: number; rejected?: { reason: string }[]; detail?: string }
      const rejected = answer.rejected?.length ?? 0
      if (response.status === 202) {
        tally.accepted += answer.accepted ?? 0
        tally.rejected += rejected
        tally.firstProblem ||= answer.rejected?.[0]?.reason ?? ''
        return
      }
      problem = `${response.status}: ${answer.detail}`
      if (response.status !== 503 && response.status !== 429) {
        tally.rejected += chunk.events
        tally.firstProblem ||= problem
        return
      }
      waitMs = Number(response.headers.get('retry-after') ?? 1) * 1000
    } catch (error) {
      problem = `${url} does not answer (${messageOf(error instanceof Error ? (error.cause ?? error) : error)}): is it running?`
    }
    if (tries === MAX_TRIES) {
      tally.failed += chunk.events
      tally.firstProblem ||= problem
      return
    }
    tally.retries += 1
    await sleep(waitMs * (0.5 + Math.random() / 2))
  }
}

async function* generate(count: number, batch: number): AsyncGenerator<Chunk, void> {
  for (let next = 1; next <= count; ) {
    const events = Math.min(batch, count - next + 1)
    let body = ''
    for (const end = next + events; next < end; next++) body += `{"id":${next},"data":"Event ${next}"}\n`
    yield { body, events, bytes: body.length }
  }
}

async function* readChunks(file: string, batch: number): AsyncGenerator<Chunk, void> {
  const input = file === '-' ? process.stdin : createReadStream(file)
  let body = ''
  let events = 0
  for await (const line of lines(input)) {
    if (line.trim() === '') continue
    body += `${line}\n`
    events += 1
    if (events < batch) continue
    yield { body, events, bytes: Buffer.byteLength(body) }
    body = ''
    events = 0
  }
  if (events > 0) yield { body, events, bytes: Buffer.byteLength(body) }
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size
  } catch (error) {
    throw new MillraceError('CONFIG_INVALID', `cannot read ${file} (${messageOf(error)})`)
  }
}
