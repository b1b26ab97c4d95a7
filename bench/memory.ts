/** Memory of the service under steady load, while its sink works and while its sink has stopped taking anything. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Peer } from './peers/peers.ts'
import type { Context, Curve, Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { MILLRACE_DELIVERING, millrace } from './support/contenders.ts'
import { openLoop } from './support/open-loop.ts'
import { CLOUD_EVENTS, SMALL_EVENT } from './support/payloads.ts'
import { progress } from './support/progress.ts'
import { inDirectory, type Server, startServer } from './support/server.ts'
import { slope } from './support/statistics.ts'

/** The heap takes half a minute to find its size, and what V8 compiles another two: what is left after that would go on. */
const LOAD_SECONDS = 300
const SAMPLE_MS = 500
const SINGLES_PER_SECOND = 2000
const BULK_PER_SECOND = 100
const CONNECTIONS = 64
const MIB_LIMIT = 200

const WORKING = 'file sink'
const STALLED = 'stalled sink'

/** Both kinds of requests at once. Resolves to how many were not accepted. */
async function load({ url }: Server, seconds: number): Promise<number> {
  const common = { url, seconds, warmUpSeconds: 0, connections: CONNECTIONS }
  const [singles, bulk] = await Promise.all([
    openLoop({ ...common, payload: SMALL_EVENT, requestsPerSecond: SINGLES_PER_SECOND }),
    openLoop({ ...common, payload: CLOUD_EVENTS, requestsPerSecond: BULK_PER_SECOND }),
  ])
  return singles.notAccepted + bulk.notAccepted
}

interface Sampled {
  /** Seconds and MiB, while the load lasts. */
  readonly points: readonly [number, number][]
  readonly peakRssMib: number
  readonly notAccepted: number
}

async function sample(peer: Peer, seconds: number): Promise<Sampled> {
  return inDirectory(async (directory) => {
    const server = await startServer(peer, directory)
    try {
      const points: [number, number][] = []
      let loading = true
      const startedAt = performance.now()
      const loaded = load(server, seconds).finally(() => {
        loading = false
      })
      while (loading) {
        const elapsedSeconds = (performance.now() - startedAt) / 1000
        points.push([Number(elapsedSeconds.toFixed(1)), Number(server.cost().rssMib.toFixed(1))])
        await sleep(SAMPLE_MS)
      }
      return { points, peakRssMib: server.cost().peakRssMib, notAccepted: await loaded }
    } finally {
      await server.stop()
    }
  })
}

/** Takes each request and never answers it. */
async function withStalledSink<T>(use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  try {
    return await use(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

async function measure({ smoke }: Context) {
  const seconds = smoke ? 1 : LOAD_SECONDS
  const collected = new Collected()
  const curves: Curve[] = []
  const remarks: string[] = []
  const run = async (subject: string, peer: Peer) => {
    progress(`${seconds} s with a ${subject}`)
    const { points, peakRssMib, notAccepted } = await sample(peer, seconds)
    curves.push({ subject, points })
    if (notAccepted > 0) remarks.push(`${subject}: ${notAccepted.toLocaleString('en')} requests were refused meanwhile`)
    // By then every buffer has its size.
    const settled = points.slice(Math.floor(points.length / 2)).map(([x, y]) => [x / 60, y] as const)
    collected.add(subject, { peakRssMib, rssMibPerMinute: slope(settled) })
  }
  await run(WORKING, MILLRACE_DELIVERING)
  await withStalledSink((url) => run(STALLED, millrace(STALLED, STALLED, { SINKS: 'http', HTTP_SINK_URL: url })))
  return { series: collected.series, curves, remarks }
}

export const memory: Question = {
  name: 'memory',
  title: 'Memory under steady load',
  how: `${SINGLES_PER_SECOND.toLocaleString('en')} single events a second and ${BULK_PER_SECOND} requests a second of 100
CloudEvents for ${LOAD_SECONDS} seconds. The first case delivers to files. The second has a webhook that takes each request and
never answers, so that events gather in the log. RSS is sampled twice a second; its growth is the median slope of the second half.`,
  targets: [WORKING, STALLED].flatMap((of) => [
    { key: `memory-${of.replace(' ', '-')}`, measure: 'peakRssMib', of, bound: { atMost: MIB_LIMIT } } as const,
    // Less than a hundredth of the limit.
    { key: `growth-${of.replace(' ', '-')}`, measure: 'rssMibPerMinute', of, bound: { atMost: 2 } } as const,
  ]),
  plots: [{ kind: 'lines', name: 'memory', title: 'RSS of the service', x: 'seconds', y: 'MiB' }],
  run: measure,
}
