/** How many single events a second are made durable, 256 connections at once. */

import type { Question } from './question.ts'
import { bouts, warmUp, withCost } from './support/bouts.ts'
import { MILLRACE_WORKERS, withPeers } from './support/contenders.ts'
import { SMALL_EVENT } from './support/payloads.ts'
import { missingTool } from './support/tools.ts'
import { closedLoop } from './support/wrk.ts'

const CONNECTIONS = 256

const ratio = (to: string, atLeast: number) =>
  ({ key: `singles-${to}`, measure: 'requestsPerSecond', of: 'millrace', to, bound: { atLeast } }) as const

export const singles: Question = {
  name: 'singles',
  title: 'Single events, as many as it takes',
  how: `\`POST /v1/events\` with \`${SMALL_EVENT.body}\` on ${CONNECTIONS} connections. Each sends its next request when the last one
is answered (wrk, one thread). An answer comes when the event is durable.`,
  targets: [ratio('node-http', 0.85), ratio('fastapi', 6), ratio('robyn', 2), ratio('rust-sample', 5)],
  plots: [{ kind: 'bars', name: 'singles', title: 'Durable single events a second', measure: 'requestsPerSecond' }],
  async run(context) {
    const reason = missingTool('wrk')
    if (reason !== undefined) return { series: [], skipped: [{ subject: 'all', reason }] }
    const peers = [MILLRACE_WORKERS, ...withPeers(() => true)]
    return bouts(context, peers, async (server) => {
      await warmUp(context, server, SMALL_EVENT)
      return withCost(
        server,
        ({ requestsPerSecond = 0 }) => requestsPerSecond * context.seconds,
        () => closedLoop(server.url, SMALL_EVENT, { connections: CONNECTIONS, seconds: context.seconds }),
      )
    })
  },
}
