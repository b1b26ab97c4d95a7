/**
 * A process that tracks as fast as it can while the service is down. MILLRACE_SERVICE_DOWN_MS is how long (`npm run
 * test:long`: a minute).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { freePorts } from '../support/ports.ts'
import { startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { startTracking } from '../support/tracking.ts'

const DOWN_MS = Number(process.env.MILLRACE_SERVICE_DOWN_MS ?? 4000)
const MIB = 1024 * 1024
const QUEUE_MIB = 8
/** Node, the client, and the garbage of as many events as a core can make: 100 to 135 were seen. */
const ELSE_MIB = 190

test('while the service is down memory stays bounded, what has no room is counted, and the rest arrives', async () => {
  const [port] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const plan = { url, maxQueueBytes: QUEUE_MIB * MIB, total: 1e12, perTurn: 100, dataLength: 300 }
  const tracking = startTracking(plan)
  await sleep(DOWN_MS)
  const { stats, peakMib } = await tracking.report()
  expect(stats.dropped).toBeGreaterThan(0)
  expect(stats.memoryBytes).toBeLessThanOrEqual(QUEUE_MIB * MIB)
  expect(stats.memoryBytes).toBeGreaterThan((QUEUE_MIB - 1) * MIB)
  expect(peakMib).toBeLessThan(QUEUE_MIB + ELSE_MIB)
  console.error(
    `  ${stats.tracked} tracked in ${DOWN_MS} ms, ${stats.queuedEvents} kept: ${Math.round(peakMib)} MiB at most`,
  )

  await startService(temporaryDirectory(), { PORT: String(port) })
  const { stats: after, isAnswered, peakMib: peakAfterMib } = await tracking.close()
  expect(isAnswered).toBe(true)
  expect(after.sent + after.dropped).toBe(after.tracked)
  expect(after.sent).toBeGreaterThanOrEqual(stats.queuedEvents)
  expect(peakAfterMib).toBeLessThan(QUEUE_MIB + ELSE_MIB)
}, 180_000)
