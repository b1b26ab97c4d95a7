/** A sink whose process the kernel has stopped: connections open, bytes taken, no answer. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { startLoad } from '../support/load.ts'
import { caughtUp, deliveredIn, expectConserved, lagOf, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const STOPPED_MS = 4000

test('a sink that is stopped for seconds: only it falls behind, writing goes on as before, and all of it arrives', async () => {
  const child = fork(fileURLToPath(new URL('../support/slow-endpoint.ts', import.meta.url)), { stdio: 'pipe' })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  const [port] = (await once(child, 'message')) as [number]
  const directory = temporaryDirectory()
  const service = await startService(directory, {
    SINKS: 'file,http',
    HTTP_SINK_URL: `http://127.0.0.1:${port}/`,
    HTTP_SINK_TIMEOUT_MS: '1000',
    RETRY_MAX_MS: '500',
  })
  const phase = async (prefix: string, forMs: number) => {
    const load = startLoad(service.url, { connections: 4, batch: 1, pauseMs: 10, prefix })
    await sleep(forMs)
    await load.stop()
    expect([...load.statuses.keys()]).toEqual([202])
    return load
  }
  const before = await phase('a', 2000)
  await caughtUp(service, ['file', 'http'])
  child.kill('SIGSTOP')
  const during = await phase('b', STOPPED_MS)
  const lag = await lagOf(service, 'http')
  expect(lag).toBeGreaterThan(during.acknowledged.size * 0.9)
  expect(await lagOf(service, 'file')).toBeLessThan(100)
  // As many in as much time: nobody who writes waits for a sink.
  const perSecond = [before.acknowledged.size / 2, (during.acknowledged.size / STOPPED_MS) * 1000] as const
  expect(perSecond[1]).toBeGreaterThan(perSecond[0] / 2)
  child.kill('SIGCONT')
  await caughtUp(service, ['file', 'http'])
  await expectConserved(service, ['file', 'http'])
  expect(await service.stop()).toBe(0)
  const received = new Set(output.trim().split('\n'))
  const inFile = new Set(deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id))
  for (const id of [...before.acknowledged, ...during.acknowledged]) {
    expect([received.has(id), inFile.has(id)], id).toEqual([true, true])
  }
  console.error(
    `  a sink stopped for ${STOPPED_MS} ms: ${lag} events behind, the other none; ${Math.round(perSecond[0])} writes a second before, ${Math.round(perSecond[1])} meanwhile, slowest ${Math.round(during.slowestMs)} ms; all arrived`,
  )
}, 60_000)
