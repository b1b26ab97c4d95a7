/** How many events a second are made durable when they come a hundred in a request, one a line. */
import type { Question } from './question.ts'
import { bouts, fewIfSmoke, warmUp, withCost } from './support/bouts.ts'
import { MILLRACE_DELIVERING, MILLRACE_DELIVERY_THREAD, MILLRACE_WORKERS, withPeers } from './support/contenders.ts'
import type { Payload } from './support/load.ts'
import { CLOUD_EVENTS, SMALL_EVENTS } from './support/payloads.ts'
import { missingTool } from './support/tools.ts'
import { closedLoop } from './support/wrk.ts'

const CONNECTIONS = 64

function question(name: string, what: string, payload: Payload, targets: Question['targets']): Question {
  return {
    name,
    title: `NDJSON, ${payload.events} ${what} a request`,
    how: `\`application/x-ndjson\`, the same ${payload.events} lines (${Buffer.byteLength(payload.body).toLocaleString('en')} bytes) in each request. There are ${CONNECTIONS} connections; each sends
its next request when the last one is answered (wrk, one thread).`,
    targets,
    plots: [{ kind: 'bars', name, title: `Durable ${what} a second`, measure: 'eventsPerSecond' }],
    async run(context) {
      const reason = missingTool('wrk')
      if (reason !== undefined) return { series: [], skipped: [{ subject: 'all', reason }] }
      const peers = [MILLRACE_WORKERS, MILLRACE_DELIVERY_THREAD, ...withPeers(({ ndjson }) => ndjson)]
      return bouts(context, fewIfSmoke(context, peers), async (server) => {
        const load = async (seconds: number) => {
          const { requestsPerSecond, p99Ms } = await closedLoop(server.url, payload, {
            connections: CONNECTIONS,
            seconds,
          })
          return { eventsPerSecond: requestsPerSecond * payload.events, p99Ms }
        }
        await warmUp(context, server, payload)
        const events = ({ eventsPerSecond = 0 }) => eventsPerSecond * context.seconds
        return withCost(server, events, () => load(context.seconds))
      })
    },
  }
}

const toRust = (name: string, atLeast: number) =>
  ({
    key: `${name}-rust-group`,
    measure: 'eventsPerSecond',
    of: 'millrace',
    to: 'rust-group',
    bound: { atLeast },
  }) as const

/** What delivery leaves of it, beside requests and on a thread of its own. */
const delivering = (name: string) =>
  [MILLRACE_DELIVERING, MILLRACE_DELIVERY_THREAD].map(
    (contender) =>
      ({
        key: contender === MILLRACE_DELIVERING ? `${name}-file-sink` : `${name}-file-sink-thread`,
        measure: 'eventsPerSecond',
        of: contender.name,
        to: 'millrace',
        bound: { atLeast: 0.8 },
      }) as const,
  )

export const ndjsonSmall = question('ndjson-small', 'small events', SMALL_EVENTS, [
  toRust('ndjson-small', 0.5),
  ...delivering('ndjson-small'),
  { key: 'ndjson-small-rate', measure: 'eventsPerSecond', of: 'millrace', bound: { atLeast: 1_500_000 } },
])
export const ndjsonCloudEvents = question('ndjson-cloudevents', 'CloudEvents of 273 bytes', CLOUD_EVENTS, [
  toRust('ndjson-cloudevents', 0.55),
  ...delivering('ndjson-cloudevents'),
])
