/** Faults of the brokers, of the network to them, and of the processes around them, each under load. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Consumer as Client } from '@platformatic/kafka'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { clientOptions } from '../../app/log/kafka/connection.ts'
import { KafkaLog } from '../../app/log/kafka/kafka-log.ts'
import { batchOf } from '../support/batch.ts'
import { Kafka, missing } from '../support/kafka.ts'
import { Oracle, type Process, startRole } from '../support/kafka-service.ts'
import { type Load, startLoad } from '../support/load.ts'
import { scrape, until } from '../support/service.ts'

const reason = missing()
if (reason !== undefined) console.error(`faults of Kafka are not tested: ${reason}`)

const EVENTS = Number(process.env.MILLRACE_KAFKA_EVENTS ?? 1_000_000)
const KILL_EVERY_MS = 20_000
const LAG = 'millrace_delivery_lag_events{sink="file"}'

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const read = async (process: Process, name: string) => (await scrape(process)).get(name) ?? Number.NaN
const refusals = (load: Load) => load.statuses.get(503) ?? 0

async function noLag(...processes: Process[]): Promise<void> {
  const lag = async () =>
    (await Promise.all(processes.map((process) => read(process, LAG)))).every((events) => events === 0)
  // Twice: between two measurements of the lag, an end that has moved may not be known yet.
  for (let time = 0; time < 2; time++) {
    await until(lag, 60_000, 'no lag')
    await sleep(1500)
  }
}

async function judge(load: Load, ...processes: Process[]): Promise<Oracle> {
  const oracle = new Oracle()
  for (const process of processes) await oracle.read(process)
  expect([...load.acknowledged].filter((id) => !oracle.delivered.has(id))).toEqual([])
  expect([...oracle.delivered].filter((id) => !load.sent.has(id))).toEqual([])
  expect(oracle.disordered).toBe(0)
  return oracle
}

describe.skipIf(reason !== undefined)('three brokers', () => {
  let kafka: Kafka
  beforeAll(async () => {
    kafka = await Kafka.start({ brokers: 3 })
  })
  afterAll(() => kafka?.stop())
  afterEach(() => kafka?.mend())

  test('writes to several leaders at once are of one producer, so that an answer that is lost doubles nothing', async () => {
    const requirements = { replication: 3, minInSync: 2, create: true, partitions: 12, retentionMs: 3_600_000 }
    const log = await KafkaLog.open({
      connection: { ...kafka.connection(), requestTimeoutMs: 1500 },
      topic: { name: 'one-producer', ...requirements },
      writeTimeoutMs: 30_000,
      groupPrefix: 'one-producer',
      shared: true,
    })
    onTestFinished(() => log.close())
    for (let round = 0; round < 4; round++) {
      const ids = Array.from({ length: 100 }, (_, at) => `${round}-${at}`)
      // It has taken the records, or takes them when it goes on, and its answer comes too late.
      const appending = log.append([{ ...batchOf(...ids), keys: ids }])
      if (round % 2 === 1) {
        kafka.pause(2)
        await sleep(2500)
        kafka.resume(2)
      }
      expect(await appending).toEqual([])
    }
    const { values, producers } = await recordsOf('one-producer', requirements.partitions)
    expect(values.length).toBe(400)
    expect(new Set(values).size).toBe(400)
    expect(producers.size).toBe(1)
  })

  async function recordsOf(topic: string, partitions: number) {
    const client = new Client({ ...clientOptions(kafka.connection(), 'look'), groupId: 'look' })
    const found = (await client.metadata({ topics: [topic] })).topics.get(topic)
    const values: string[] = []
    const producers = new Set<bigint>()
    for (let partition = 0; partition < partitions; partition++) {
      const unknown = { currentLeaderEpoch: -1, lastFetchedEpoch: -1, partitionMaxBytes: 1_000_000 }
      const { responses } = await client.fetch({
        node: found?.partitions[partition]?.leader ?? 1,
        maxWaitTime: 100,
        minBytes: 1,
        maxBytes: 10_000_000,
        topics: [{ topicId: found?.id ?? '', partitions: [{ partition, fetchOffset: 0n, ...unknown }] }],
      })
      for (const batch of responses.flatMap((one) => one.partitions).flatMap(({ records }) => records ?? [])) {
        producers.add(batch.producerId)
        for (const { value } of batch.records) values.push(String(value))
      }
    }
    await client.close()
    return { values, producers }
  }

  test('a broker is killed again and again, and one of two deliver processes: every acknowledged event is delivered', async () => {
    const topic = { KAFKA_TOPIC: 'oracle' }
    const ingest = await startRole(kafka, 'ingest', topic)
    const delivers = [await startRole(kafka, 'deliver', topic), await startRole(kafka, 'deliver', topic)]
    // At a pace that lets several brokers be killed on the way.
    const load = startLoad(ingest.url, { connections: 16, batch: 100, pauseMs: 100 })
    const startedAt = performance.now()
    let kills = 0
    for (let node = 1; load.acknowledged.size < EVENTS; node = (node % 3) + 1) {
      const next = performance.now() + KILL_EVERY_MS
      await until(
        () => load.acknowledged.size >= EVENTS || performance.now() > next,
        2 * KILL_EVERY_MS,
        'time for a kill',
      )
      if (load.acknowledged.size >= EVENTS) break
      await kafka.kill(node)
      kills += 1
      if (kills === 2) {
        expect(await delivers[1]?.stop('SIGKILL')).toBe('SIGKILL')
        delivers.push(await startRole(kafka, 'deliver', topic))
      }
      await sleep(KILL_EVERY_MS / 3)
      await kafka.start(node)
    }
    const seconds = (performance.now() - startedAt) / 1000
    await load.stop()
    expect(kills).toBeGreaterThanOrEqual(2)
    const alive = delivers.filter(({ process }) => process.signalCode === null)
    await noLag(...alive)
    const oracle = await judge(load, ...delivers)
    for (const process of [ingest, ...alive]) expect(await process.stop()).toBe(0)
    console.error(
      `  ${load.acknowledged.size} acknowledged in ${Math.round(seconds)} s, ${kills} brokers and 1 deliver process killed: 0 lost, 0 unknown, 0 out of order, ${oracle.repeated} repeated; answers ${JSON.stringify([...load.statuses])}`,
    )
  }, 900_000)

  test('too few copies in sync: nothing is acknowledged, 503 says so, and within 10 s of their return all goes on', async () => {
    const topic = { KAFKA_TOPIC: 'copies', KAFKA_MIN_IN_SYNC: '3', KAFKA_WRITE_TIMEOUT_MS: '2000' }
    const ingest = await startRole(kafka, 'ingest', topic)
    const before = startLoad(ingest.url, { connections: 2, batch: 5, prefix: 'before', pauseMs: 10 })
    await sleep(1000)
    await before.stop()
    expect(before.acknowledged.size).toBeGreaterThan(0)
    await kafka.kill(3)
    await sleep(5000) // until the others have noticed
    const during = startLoad(ingest.url, { connections: 4, batch: 5, prefix: 'during', pauseMs: 10 })
    await sleep(8000)
    await during.stop()
    expect([during.acknowledged.size, refusals(during) > 0]).toEqual([0, true])
    await kafka.start(3)
    const backAt = performance.now()
    const after = startLoad(ingest.url, { connections: 2, batch: 5, prefix: 'after', pauseMs: 10 })
    await until(() => after.acknowledged.size > 0, 10_000, 'writes are accepted again')
    const secondsToGoOn = (performance.now() - backAt) / 1000
    await sleep(500)
    await after.stop()
    const deliver = await startRole(kafka, 'deliver', topic)
    await noLag(deliver)
    const oracle = new Oracle()
    await oracle.read(deliver)
    for (const id of [...before.acknowledged, ...after.acknowledged]) expect(oracle.delivered.has(id)).toBe(true)
    expect([await ingest.stop(), await deliver.stop()]).toEqual([0, 0])
    console.error(
      `  while one copy was missing: 0 acknowledged, ${refusals(during)} × 503; accepted again after ${secondsToGoOn.toFixed(1)} s`,
    )
  })

  test('leaders move, a broker hangs: what is acknowledged is delivered', async () => {
    const topic = { KAFKA_TOPIC: 'moved' }
    const ingest = await startRole(kafka, 'ingest', topic)
    const deliver = await startRole(kafka, 'deliver', topic)
    const load = startLoad(ingest.url, { connections: 8, batch: 20, pauseMs: 5 })
    await sleep(2000)
    await kafka.kill(1, 'SIGTERM') // hands its leaders over first
    await sleep(3000)
    await kafka.start(1)
    await kafka.whenWhole()
    kafka.pause(2)
    await sleep(8000)
    const hanging = load.acknowledged.size
    await sleep(4000)
    expect(load.acknowledged.size).toBeGreaterThan(hanging) // the others have taken over
    kafka.resume(2)
    await kafka.whenWhole()
    await sleep(2000)
    await load.stop()
    await noLag(deliver)
    const oracle = await judge(load, deliver)
    expect([await ingest.stop(), await deliver.stop()]).toEqual([0, 0])
    console.error(
      `  ${load.acknowledged.size} acknowledged, 0 lost, ${oracle.repeated} repeated; answers ${JSON.stringify([...load.statuses])}`,
    )
  })

  test('a deliver process killed in the middle of a batch: the other goes on, in order for the receiver of both', async () => {
    const arrived: { id: string; subject: string; seq: number }[] = []
    const receiver = await startReceiver((event) => void arrived.push(event))
    const sink = { SINKS: 'http', HTTP_SINK_URL: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/` }
    const topic = { KAFKA_TOPIC: 'killed', ...sink }
    const ingest = await startRole(kafka, 'ingest', topic)
    const [first, second] = [await startRole(kafka, 'deliver', topic), await startRole(kafka, 'deliver', topic)]
    const load = startLoad(ingest.url, { connections: 4, batch: 10, pauseMs: 20 })
    await sleep(5000)
    expect(await second.stop('SIGKILL')).toBe('SIGKILL')
    await sleep(3000)
    await load.stop()
    const all = () => missingOf(load.acknowledged, arrived).length === 0
    await until(all, 45_000, 'all of it delivered').catch((error) => {
      const lost = missingOf(load.acknowledged, arrived)
      throw new Error(`${lost.length} of ${load.acknowledged.size} have not arrived`, { cause: error })
    })
    expect([await ingest.stop(), await first.stop()]).toEqual([0, 0])
    const [seen, last] = [new Set<string>(), new Map<string, number>()]
    let disordered = 0
    for (const { id, subject, seq } of arrived) {
      if (seen.has(id)) continue
      seen.add(id)
      if (seq < (last.get(subject) ?? -1)) disordered += 1
      last.set(subject, seq)
    }
    expect(disordered).toBe(0)
    console.error(
      `  ${load.acknowledged.size} acknowledged, 0 lost, 0 out of order over both, ${arrived.length - seen.size} repeated`,
    )
  })

  test('the topic is deleted: the process says so and ends; started again it goes on with a new one', async () => {
    const topic = { KAFKA_TOPIC: 'deleted' }
    const service = await startRole(kafka, 'all', topic)
    const load = startLoad(service.url, { connections: 1, batch: 5, pauseMs: 20 })
    await sleep(1500)
    await load.stop()
    await noLag(service)
    const ended = new Promise((resolve) => service.process.once('exit', resolve))
    const admin = kafka.admin()
    await admin.deleteTopics({ topics: ['deleted'] })
    await admin.close()
    expect(await ended).toBe(1)
    expect(service.output()).toContain('topic deleted was deleted')
    await sleep(1000)
    const again = await startRole(kafka, 'all', topic)
    const more = startLoad(again.url, { connections: 1, batch: 5, prefix: 'more', pauseMs: 20 })
    await sleep(1500)
    await more.stop()
    await noLag(again)
    const oracle = await judge(more, again)
    expect(oracle.repeated).toBe(0)
    expect(await again.stop()).toBe(0)
  })
})

function missingOf(acknowledged: Set<string>, arrived: { id: string }[]): string[] {
  const ids = new Set(arrived.map(({ id }) => id))
  return [...acknowledged].filter((id) => !ids.has(id))
}

async function startReceiver(take: (event: { id: string; subject: string; seq: number }) => void): Promise<Server> {
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk) => (text += chunk))
    request.on('end', () => {
      const { id, subject, data } = JSON.parse(text)
      take({ id, subject, seq: data.seq })
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return server
}
