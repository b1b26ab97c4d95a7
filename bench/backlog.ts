/** Whether a backlog costs anything: throughput and start with 0, 1 and 10 GB of undelivered events in the log. */
import { join } from 'node:path'
import type { Context, Measured, Question } from './question.ts'
import { Collected, warmUp } from './support/bouts.ts'
import { millrace } from './support/contenders.ts'
import { fillLog } from './support/fill-log.ts'
import { freeBytes } from './support/machine.ts'
import { CLOUD_EVENT_LINES, SMALL_EVENT } from './support/payloads.ts'
import { progress } from './support/progress.ts'
import { inDirectory, startServer } from './support/server.ts'
import { interleave } from './support/statistics.ts'
import { missingTool } from './support/tools.ts'
import { closedLoop } from './support/wrk.ts'

const GB = 1e9
const SIZES_GB = [0, 1, 10]
/** Left free beside the largest backlog and what the run itself writes. */
const SPARE_GB = 4
const CONNECTIONS = 256

/** Nobody listens there: the sink cannot be reached, so the backlog stays. It is tried again every half minute. */
const AWAY = millrace('millrace', 'Millrace, its sink away', {
  SINKS: 'http',
  HTTP_SINK_URL: 'http://127.0.0.1:9/',
  RETRY_BASE_MS: '30000',
  LOG_MAX_BYTES: String(100 * GB),
})

const largest = `${SIZES_GB.at(-1)} GB`
const empty = `${SIZES_GB[0]} GB`

export const backlog: Question = {
  name: 'backlog',
  title: 'Cost of a backlog',
  how: `The sink cannot be reached, so the events stay in the log: nothing, 1 GB, or 10 GB of CloudEvents of 273 bytes.
Then come single events as above, and the time from the spawn until \`/health/ready\` answers 200. The directories stay
from round to round; each round is a new process.`,
  targets: [
    { key: 'backlog-rate', measure: 'requestsPerSecond', of: largest, to: empty, bound: { atLeast: 0.95 } },
    { key: 'backlog-start', measure: 'startMs', of: largest, to: empty, bound: { atMost: 1.2 } },
  ],
  plots: [
    {
      kind: 'bars',
      name: 'backlog',
      title: 'Durable single events a second, by backlog',
      measure: 'requestsPerSecond',
    },
  ],
  async run(context) {
    const reason = missingTool('wrk')
    if (reason !== undefined) return { series: [], skipped: [{ subject: 'all', reason }] }
    return inDirectory((parent) => measure(context, parent))
  },
}

async function measure(context: Context, parent: string): Promise<Measured> {
  const { smoke, rounds, seconds } = context
  const roomGb = freeBytes() / GB - SPARE_GB
  const wantedGb = SIZES_GB.reduce((sum, size) => sum + size, 0)
  // Scaled down together, and said: better than a full disk.
  const scale = smoke ? 0.01 : Math.min(1, roomGb / wantedGb)
  const remarks =
    smoke || scale === 1
      ? []
      : [`only ${roomGb.toFixed(1)} GB were free: the backlogs are ${scale.toFixed(2)} of what their names say`]
  const cases = SIZES_GB.map((size) => ({
    subject: `${size} GB`,
    directory: join(parent, String(size)),
    bytes: size * scale * GB,
  }))
  for (const { subject, directory, bytes } of cases) {
    progress(`filling: ${subject}`)
    if (bytes > 0) await fillLog(join(directory, 'log'), CLOUD_EVENT_LINES, (filled) => filled.bytes >= bytes)
  }
  const collected = new Collected()
  for (const { round, item } of interleave(cases, rounds)) {
    progress(`round ${round + 1} of ${rounds}: ${item.subject}`)
    const server = await startServer(AWAY, item.directory, '/health/ready')
    try {
      await warmUp(context, server, SMALL_EVENT)
      const { requestsPerSecond, p99Ms } = await closedLoop(server.url, SMALL_EVENT, {
        connections: CONNECTIONS,
        seconds,
      })
      collected.add(item.subject, {
        requestsPerSecond,
        p99Ms,
        startMs: server.readyAfterMs,
        peakRssMib: server.cost().peakRssMib,
      })
    } finally {
      await server.stop()
    }
  }
  return { series: cases.flatMap(({ subject }) => collected.series.filter((one) => one.subject === subject)), remarks }
}
