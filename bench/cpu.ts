/** What 1,000 single events a second cost: the share of the machine that the service takes. */
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Question } from './question.ts'
import { bouts, fewIfSmoke, warmUp } from './support/bouts.ts'
import { MILLRACE_DELIVERING, MILLRACE_LINGERING, withPeers } from './support/contenders.ts'
import { openLoop } from './support/open-loop.ts'
import { SMALL_EVENT } from './support/payloads.ts'

const REQUESTS_PER_SECOND = 1000
const CONNECTIONS = 64
/** The two that commit in groups, too: others cost more for each event. */
const COMPARED = ['rust-group', 'node-http']
/** Of the rate itself, behind the warm-up at full load. */
const SETTLE_SECONDS = 1
const BEHIND_MS = 500

export const cpu: Question = {
  name: 'cpu',
  title: 'CPU at 1,000 single events a second',
  how: `User and system time of the server's processes, without the load generator, divided by the elapsed time and the
number of cores. Millrace delivers every event to files meanwhile. The table also shows Millrace when it only stores, and
with groups that wait for more events.`,
  targets: [
    { key: 'cpu', measure: 'cpuPercent', of: MILLRACE_DELIVERING.name, bound: { atMost: 5 } },
    {
      key: 'cpu-rust-group',
      measure: 'cpuUsPerEvent',
      of: MILLRACE_DELIVERING.name,
      to: 'rust-group',
      bound: { atMost: 1.3 },
    },
  ],
  plots: [{ kind: 'bars', name: 'cpu', title: 'CPU at 1,000 events a second, of all cores', measure: 'cpuPercent' }],
  run: (context) =>
    bouts(
      context,
      fewIfSmoke(context, [MILLRACE_LINGERING, ...withPeers(({ name }) => COMPARED.includes(name))]),
      async (server) => {
        const load = (seconds: number) =>
          openLoop({
            url: server.url,
            payload: SMALL_EVENT,
            requestsPerSecond: REQUESTS_PER_SECOND,
            seconds,
            warmUpSeconds: 0,
            connections: CONNECTIONS,
          })
        await warmUp(context, server, SMALL_EVENT)
        if (!context.smoke) await load(SETTLE_SECONDS)
        // What is behind the load, such as the last delivery, is part of what it costs.
        const before = server.cost().cpuSeconds
        const { p50Ms, p99Ms } = await load(context.seconds)
        if (!context.smoke) await sleep(BEHIND_MS)
        const { cpuSeconds, peakRssMib } = server.cost()
        const used = cpuSeconds - before
        return {
          // By the time of the load: waiting for what is behind it would only make it look cheaper.
          cpuPercent: (100 * used) / context.seconds / cpus().length,
          cpuUsPerEvent: (1e6 * used) / (REQUESTS_PER_SECOND * context.seconds),
          ...{ p50Ms, p99Ms, peakRssMib },
        }
      },
    ),
}
