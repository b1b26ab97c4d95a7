/**
 * More than the service can do, in an open loop: clients that do not wait for each other. How much that is, is measured
 * first. MILLRACE_OVERLOAD_SECONDS is how long (`npm run test:faults`: 30; every week: 300).
 *
 * Other work on the machine takes core time away, from one phase more than from another. So goodput is compared by the core
 * time of the service, and time limits count as on a core of its own. When others have more than a fifth of it, the slowest ones
 * say more about them: then the median is judged.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Answer, type Phase, startLoadProcess } from '../../bench/support/load-process.ts'
import { quantile } from '../../bench/support/statistics.ts'
import { rate } from '../support/load.ts'
import { caughtUp, expectConserved, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { type CoreTime, coreTime, coreTimeSince, peakMib, slowdown } from '../support/usage.ts'

const SECONDS = Number(process.env.MILLRACE_OVERLOAD_SECONDS ?? 10)
/** The peak is measured before and after each part of the overload: a machine is not as fast all the time. */
const PARTS = 3
const PEAK_SECONDS = 3
const MIB = 2 ** 20
/**
 * Costs the service some milliseconds, a client next to nothing: a type with an escape is looked at with care. Plain
 * events are checked faster than they are received, and what is not received cannot be refused either. Short, since
 * what is refused is read all the same: then that is a small part of what it takes to accept it.
 */
const BATCH = 2000
const SHAPE = {
  contentType: 'application/x-ndjson',
  batch: BATCH,
  dataLength: 1,
  prefix: 'r',
  isEscaped: true,
} as const

interface Measured {
  readonly answers: readonly Answer[]
  readonly accepted: readonly Answer[]
  readonly refused: readonly Answer[]
  readonly events: number
  readonly tookMs: number
  readonly used: CoreTime
}

/** Acknowledged events for each second of time, and of core time. */
const perSecond = ({ events, tookMs }: Measured) => (events / tookMs) * 1000
const perCoreSecond = ({ events, used }: Measured) => (events / used.runningMs) * 1000

function together(phases: readonly Measured[]): Measured {
  const sum = (of: (phase: Measured) => number) => phases.reduce((total, phase) => total + of(phase), 0)
  return {
    answers: phases.flatMap(({ answers }) => answers),
    accepted: phases.flatMap(({ accepted }) => accepted),
    refused: phases.flatMap(({ refused }) => refused),
    events: sum(({ events }) => events),
    tookMs: sum(({ tookMs }) => tookMs),
    used: { runningMs: sum(({ used }) => used.runningMs), waitingMs: sum(({ used }) => used.waitingMs) },
  }
}

function startLoad(service: Service) {
  const load = startLoadProcess()
  onTestFinished(() => load.stop())
  const pid = service.process.pid ?? 0
  return async (phase: Omit<Phase, 'url'>): Promise<Measured> => {
    const before = coreTime(pid)
    const startedAt = performance.now()
    const answers = await load.run({ url: service.url, ...phase })
    const tookMs = performance.now() - startedAt
    const used = coreTimeSince(pid, before)
    const accepted = answers.filter(({ status }) => status === 202)
    const refused = answers.filter(({ status }) => status === 503 || status === 429)
    expect(answers.length, 'other answers').toBe(accepted.length + refused.length)
    return { answers, accepted, refused, events: accepted.length * phase.batch, tookMs, used }
  }
}

const latency = (answers: readonly Answer[], share: number) =>
  quantile(Float64Array.from(answers, ({ latencyMs }) => latencyMs).sort(), share)

/** Which of the answers must be within a time limit. */
const judged = (measured: Measured) => (slowdown(measured.used) < 1.25 ? 0.99 : 0.5)

/** Takes what the file sink has finished, so that the disk need not hold it. @returns the numbers of the requests seen. */
function collect(directory: string): { readonly seen: Set<number>; look(): void } {
  const mark = Buffer.from(`"id":"${SHAPE.prefix}`)
  const seen = new Set<number>()
  const look = () => {
    for (const name of readdirSync(directory).filter((file) => file.startsWith('events-'))) {
      const bytes = readFileSync(join(directory, name))
      for (let at = bytes.indexOf(mark); at !== -1; at = bytes.indexOf(mark, at + mark.length)) {
        seen.add(Number(bytes.toString('latin1', at + mark.length, at + mark.length + 10)))
      }
      rmSync(join(directory, name))
    }
  }
  const timer = setInterval(look, 200)
  onTestFinished(() => clearInterval(timer))
  return { seen, look }
}

test(
  'three times what it can do: as much is done as before, the rest is refused at once, and nothing acknowledged is lost',
  async () => {
    const directory = temporaryDirectory()
    const service = await startService(directory, { LOG_RETENTION_MS: '0', FILE_SINK_ROLL_BYTES: String(16 * MIB) })
    const delivered = collect(join(directory, 'data/delivered'))
    const measure = startLoad(service)
    const measurePeak = () => measure({ ...SHAPE, seconds: PEAK_SECONDS, connections: 16 })
    const warm = await measurePeak()
    const peaks = [await measurePeak()]
    const most = perSecond(peaks[0] as Measured) / BATCH
    const calm = { ...SHAPE, connections: 32, requestsPerSecond: most / 10 }
    const before = await measure({ ...calm, seconds: 4 })

    const requestsPerSecond = 3 * most
    const parts: Measured[] = []
    for (let part = 0; part < PARTS; part++) {
      parts.push(await measure({ ...SHAPE, seconds: SECONDS / PARTS, connections: 600, requestsPerSecond }))
      if (part < PARTS - 1) peaks.push(await measurePeak())
    }
    const after = await measure({ ...calm, seconds: 6 })
    const settled = after.answers.filter(({ dueMs }) => dueMs > 2000)
    const rssMib = peakMib(service.process.pid ?? 0)
    peaks.push(await measurePeak())
    const [peak, overload] = [together(peaks), together(parts)]
    const goodput = perCoreSecond(overload) / perCoreSecond(peak)
    console.error(
      `  ${SECONDS} s of ${rate(requestsPerSecond * BATCH, 1000)} events/s, 3 times the peak: goodput ${goodput.toFixed(2)} of the peak (${rate(perSecond(overload), 1000)} events/s, ${rate(perSecond(peak), 1000)} between), ${overload.refused.length} requests refused, p50 ${latency(overload.refused, 0.5).toFixed(1)}, p99 ${latency(overload.refused, 0.99).toFixed(1)} ms; p99 at a tenth of the peak ${latency(before.answers, 0.99).toFixed(1)} ms, 2 s after ${latency(settled, 0.99).toFixed(1)} ms; at most ${Math.round(rssMib)} MiB; others took ${Math.round(100 - 100 / slowdown(overload.used))} % of the core`,
    )
    await caughtUp(service, ['file'], SECONDS * 5000 + 60_000)
    const samples = await expectConserved(service, ['file'])
    expect(await service.stop()).toBe(0)
    delivered.look()
    const phases = [warm, peak, before, overload, after]
    const acknowledged = phases.flatMap(({ accepted }) => accepted)
    expect(acknowledged.filter(({ request }) => !delivered.seen.has(request))).toEqual([])
    expect(overload.refused.filter(({ request }) => delivered.seen.has(request))).toEqual([])
    expect(samples.get('millrace_events_committed_total')).toBe(acknowledged.length * BATCH)

    expect(goodput).toBeGreaterThanOrEqual(0.9)
    expect(overload.refused.length).toBeGreaterThan(0)
    expect(latency(overload.refused, judged(overload))).toBeLessThan(50 * slowdown(overload.used))
    expect(rssMib).toBeLessThan(200)
    expect(settled.filter(({ status }) => status !== 202)).toEqual([])
    const share = Math.min(judged(before), judged(after))
    expect(latency(settled, share)).toBeLessThan(2 * latency(before.answers, share) + 20 * slowdown(after.used))
  },
  SECONDS * 10_000 + 120_000,
)

test('a client over its quota is refused, and one within it is served as if it were alone', async () => {
  const service = await startService(temporaryDirectory(), {
    API_KEYS: 'modest:0123456789abcdef,greedy:fedcba9876543210',
    QUOTA_EVENTS_PER_SECOND: '2000',
  })
  const [modest, greedy] = [startLoad(service), startLoad(service)]
  const steady = {
    contentType: 'application/json',
    batch: 1,
    dataLength: 100,
    prefix: 'm',
    key: '0123456789abcdef',
    connections: 32,
    requestsPerSecond: 200,
    seconds: 4,
  } as const
  await modest({ ...steady, seconds: 2 })
  const alone = await modest(steady)
  const tenTimes = { ...SHAPE, batch: 100, key: 'fedcba9876543210', connections: 32, requestsPerSecond: 200 }
  await greedy({ ...tenTimes, seconds: 2 }) // its burst is used up
  const [beside, refused] = await Promise.all([modest(steady), greedy({ ...tenTimes, seconds: 4 })])
  expect(beside.refused).toEqual([])
  expect(beside.accepted.length).toBeGreaterThan(0.95 * alone.accepted.length)
  expect(refused.refused.length).toBeGreaterThan(100)
  expect(refused.refused.filter(({ status }) => status !== 429)).toEqual([])
  const [aloneMs, besideMs] = [latency(alone.answers, 0.99), latency(beside.answers, 0.99)]
  expect(besideMs).toBeLessThan(2 * aloneMs + 20 * slowdown(beside.used))
  await caughtUp(service, ['file'])
  await expectConserved(service, ['file'])
  expect(await service.stop()).toBe(0)
  console.error(
    `  a client over its quota: ${refused.accepted.length} of its requests accepted, ${refused.refused.length} refused; p99 of the other ${aloneMs.toFixed(1)} ms alone, ${besideMs.toFixed(1)} ms beside it`,
  )
})
