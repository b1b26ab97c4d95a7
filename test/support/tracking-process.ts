/**
 * A process with a client, for tests that kill it or weigh it. It tracks events of `dataLength` characters, `perTurn`
 * of them in each turn of the event loop, `total` in all. A message `report` is answered with a Report, `close` too,
 * after close.
 */
import { type ClientStats, createClient } from '../../app/client/client.ts'
import { openSpool } from '../../app/client/spool.ts'
import { peakMib } from './usage.ts'

export interface Plan {
  readonly url: string
  /** Directory of a spool. */
  readonly spool?: string
  readonly maxQueueBytes: number
  readonly total: number
  readonly perTurn: number
  readonly dataLength: number
}

export interface Report {
  readonly stats: ClientStats
  readonly ids: readonly string[]
  /** Most resident memory so far. */
  readonly peakMib: number
  /** What close has said. */
  readonly isAnswered?: boolean
}

const { url, spool, maxQueueBytes, total, perTurn, dataLength }: Plan = JSON.parse(process.argv[2] ?? '')
const ids: string[] = []
const KEPT_IDS = 200_000
const client = createClient({
  url,
  maxQueueBytes,
  retryMaxMs: 500,
  onDropped: () => undefined,
  ...(spool !== undefined && { store: openSpool({ directory: spool }) }),
})
const data = 'x'.repeat(dataLength)
let left = total
let isOver = false

function turn(): void {
  for (let at = 0; at < perTurn && left > 0; at++, left--) {
    const id = client.track({ data })
    if (id !== undefined && ids.length < KEPT_IDS) ids.push(id)
  }
  if (left > 0 && !isOver) setImmediate(turn)
}
turn()

const report = (): Report => ({ stats: client.stats, ids, peakMib: peakMib(process.pid) })

process.on('message', async (message) => {
  if (message === 'report') process.send?.(report())
  if (message !== 'close') return
  isOver = true
  const isAnswered = await client.close({ timeoutMs: 30_000 })
  process.send?.({ ...report(), isAnswered } satisfies Report, () => process.disconnect())
})
process.on('disconnect', () => process.exit())
