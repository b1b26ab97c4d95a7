/** `kill -9` under mixed load, again and again, into three sinks. MILLRACE_KILLS is how often (`npm run test:faults`: 200). */
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Received, startEndpoint } from '../support/endpoint.ts'
import { startLoad } from '../support/load.ts'
import { caughtUp, deliveredIn, expectConserved, type Service, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const KILLS = Number(process.env.MILLRACE_KILLS ?? 5)
/** Where delivery runs; the stdout sink is on the main thread only. */
const PLACES = [
  { place: 'the main thread', sinks: ['file', 'stdout', 'http'], variables: {}, kills: KILLS },
  {
    ...{ place: 'a thread of its own', sinks: ['file', 'http'], variables: { DELIVERY_THREAD: 'true' } },
    kills: Math.ceil(KILLS / 4),
  },
]
/** Events, before each kill. */
const ACKNOWLEDGED_BEFORE = 50

/** Whole lines of the stdout sink; the last one before a kill may be cut. */
async function printed({ process, stdout }: Service): Promise<Received[]> {
  if (process.stdout) await finished(process.stdout)
  return stdout()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

/** The first time that each event arrives, those of one subject come in the order they were sent in. */
function expectOrder(events: readonly Received[], sink: string): void {
  const seen = new Set<string>()
  const last = new Map<string, number>()
  for (const { id, subject, data } of events) {
    if (seen.has(id)) continue
    seen.add(id)
    expect(data.seq, `${sink}: ${id}`).toBeGreaterThan(last.get(subject) ?? -1)
    last.set(subject, data.seq)
  }
}

const CLAIM = 'killed under load, nothing acknowledged is lost in any sink, nothing unknown appears, and order holds'

test.each(PLACES)(
  `${CLAIM}, with delivery on $place`,
  async ({ sinks, variables, kills }) => {
    const directory = temporaryDirectory()
    const endpoint = await startEndpoint()
    const environment = { ...variables, SINKS: sinks.join(), HTTP_SINK_URL: endpoint.url, RETRY_MAX_MS: '200' }
    const sent = new Set<string>()
    const acknowledged = new Set<string>()
    const onStdout: Received[] = []
    let slowestReadyMs = 0
    for (let kill = 0; kill < kills; kill++) {
      const service = await startService(directory, environment)
      slowestReadyMs = Math.max(slowestReadyMs, service.readyAfterMs)
      const loads = [
        startLoad(service.url, { connections: 4, batch: 1, pauseMs: 2, prefix: `a${kill}-` }),
        startLoad(service.url, { connections: 2, batch: 20, pauseMs: 10, prefix: `b${kill}-` }),
      ]
      // At whatever moment, but not before there is something to lose.
      const acknowledgedNow = () => loads.reduce((sum, { acknowledged: ids }) => sum + ids.size, 0)
      await until(() => acknowledgedNow() > ACKNOWLEDGED_BEFORE, 30_000, 'something acknowledged')
      await sleep(Math.random() * 350)
      expect(await service.stop('SIGKILL')).toBe('SIGKILL')
      if (sinks.includes('stdout')) onStdout.push(...(await printed(service)))
      for (const load of loads) {
        await load.stop()
        for (const id of load.sent) sent.add(id)
        for (const id of load.acknowledged) acknowledged.add(id)
      }
      if ((kill + 1) % 20 === 0) console.error(`  ${kill + 1} of ${kills} kills, ${acknowledged.size} acknowledged`)
    }
    const service = await startService(directory, environment)
    await caughtUp(service, sinks, 60_000)
    await expectConserved(service, sinks)
    expect(await service.stop()).toBe(0)
    if (sinks.includes('stdout')) onStdout.push(...(await printed(service)))

    const inFiles = deliveredIn(join(directory, 'data/delivered')) as Received[]
    const repeated: number[] = []
    const received: Readonly<Record<string, Received[]>> = { file: inFiles, stdout: onStdout, http: endpoint.received }
    for (const sink of sinks) {
      const events = received[sink] ?? []
      const ids = new Set(events.map(({ id }) => id))
      expect(
        [...acknowledged].filter((id) => !ids.has(id)),
        sink,
      ).toEqual([])
      expect(
        [...ids].filter((id) => !sent.has(id)),
        sink,
      ).toEqual([])
      expectOrder(events, sink)
      repeated.push(events.length - ids.size)
    }
    expect(acknowledged.size).toBeGreaterThan(ACKNOWLEDGED_BEFORE * kills)
    expect(slowestReadyMs).toBeLessThan(10_000)
    console.error(
      `  ${kills} kills: ${acknowledged.size} acknowledged, 0 lost, 0 unknown; repeated ${repeated} (${sinks}); ready again in at most ${Math.round(slowestReadyMs)} ms`,
    )
  },
  1_200_000,
)
