/** How long a write takes at 2,000 single events a second, counted from when it was due. */
import type { Question } from './question.ts'
import { bouts, fewIfSmoke, warmUp } from './support/bouts.ts'
import { withPeers } from './support/contenders.ts'
import { openLoop } from './support/open-loop.ts'
import { SMALL_EVENT } from './support/payloads.ts'

const REQUESTS_PER_SECOND = 2000
const CONNECTIONS = 256
/** Each way of committing, and each framework once. */
const COMPARED = ['rust-group', 'node-http', 'fastapi', 'flask', 'robyn']
/** Of the rate itself, behind the warm-up at full load. */
const SETTLE_SECONDS = 1

const ratio = (to: string, atMost: number) =>
  ({ key: `latency-${to}`, measure: 'p99Ms', of: 'millrace', to, bound: { atMost } }) as const

export const latency: Question = {
  name: 'latency',
  title: 'Write latency at 2,000 single events a second',
  how: `A request is due every half millisecond, whatever the server does, and its latency is counted from then
(\`bench/support/open-loop.ts\`). So a stall shows in every request that was due meanwhile. There are at most ${CONNECTIONS}
connections. A server that answers fewer than 2,000 a second falls behind for as long as the run lasts. Its latency then
says only that.`,
  targets: [ratio('fastapi', 0.1), ratio('flask', 0.1), ratio('rust-group', 1.2)],
  plots: [
    {
      kind: 'bars',
      name: 'latency',
      title: 'Write latency at 2,000 events a second, p99',
      measure: 'p99Ms',
      logarithmic: true,
    },
  ],
  async run(context) {
    const remarks = new Set<string>()
    const peers = withPeers(({ name }) => COMPARED.includes(name))
    const measured = await bouts(context, fewIfSmoke(context, peers), async (server, { name }) => {
      await warmUp(context, server, SMALL_EVENT)
      const { notAccepted, ...figures } = await openLoop({
        url: server.url,
        payload: SMALL_EVENT,
        requestsPerSecond: REQUESTS_PER_SECOND,
        seconds: context.seconds,
        warmUpSeconds: context.smoke ? 0.1 : SETTLE_SECONDS,
        connections: CONNECTIONS,
      })
      if (figures.acceptedPerSecond < 0.98 * REQUESTS_PER_SECOND || notAccepted > 0)
        remarks.add(
          `${name} does not accept ${REQUESTS_PER_SECOND.toLocaleString('en')} a second here: its latency grows while the run lasts`,
        )
      return { ...figures, peakRssMib: server.cost().peakRssMib }
    })
    return { ...measured, remarks: [...remarks] }
  },
}
