/** `kill -9` of the service under load. MILLRACE_CLIENT_KILLS is how often (`npm run test:faults`: 50). */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startClient } from '../support/client.ts'
import { millrace } from '../support/millrace.ts'
import { freePorts } from '../support/ports.ts'
import { startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const KILLS = Number(process.env.MILLRACE_CLIENT_KILLS ?? 3)
const SENT_BEFORE = 500
const PER_TURN = 20
/** A service that starts slowly must not make the queue full: what is dropped then is not what this is about. */
const MAX_QUEUED_EVENTS = 5000

test('killed under load, the service has each tracked event once, in the order in which it was tracked', async () => {
  const directory = temporaryDirectory()
  const [port] = await freePorts(1)
  const environment = { PORT: String(port), DEDUPLICATION_WINDOW_EVENTS: '100000' }
  const { client, heard } = startClient({ url: `http://127.0.0.1:${port}`, retryMaxMs: 200, requestTimeoutMs: 2000 })
  const ids: string[] = []
  let isOver = false
  const load = (async () => {
    while (!isOver) {
      if (client.stats.queuedEvents > MAX_QUEUED_EVENTS) {
        await sleep(5)
        continue
      }
      for (let at = 0; at < PER_TURN; at++) ids.push(client.track({ data: ids.length }) ?? 'dropped')
      await sleep(5)
    }
  })()
  for (let kill = 0; kill < KILLS; kill++) {
    const service = await startService(directory, environment, { readyWithinMs: 60_000 })
    const before = client.stats.sent
    await until(() => client.stats.sent > before + SENT_BEFORE, 60_000, 'enough is acknowledged')
    await sleep(Math.random() * 200)
    expect(await service.stop('SIGKILL')).toBe('SIGKILL')
  }
  const service = await startService(directory, environment, { readyWithinMs: 60_000 })
  await sleep(100)
  isOver = true
  await load
  expect(await client.close({ timeoutMs: 60_000 })).toBe(true)
  expect(await service.stop()).toBe(0)

  // The log, not a sink: a sink may see an event again after a crash.
  const { stdout } = await millrace(['log', 'replay', '--dir', join(directory, 'data/log')])
  const stored = stdout.trimEnd().split('\n')
  expect(stored.map((line) => JSON.parse(line).id)).toEqual(ids)
  const { sent, duplicates, retries } = client.stats
  expect(sent).toBe(ids.length)
  expect(retries).toBeGreaterThanOrEqual(KILLS)
  expect([heard.dropped, heard.rejected]).toEqual([[], []])
  console.error(`  ${KILLS} kills: ${sent} events, each once; ${retries} retries, ${duplicates} were there already`)
}, 600_000)
