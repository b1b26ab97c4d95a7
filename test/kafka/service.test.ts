import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Consumer } from '@platformatic/kafka'
import { CloudEvent } from 'cloudevents'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectExactly, hardData, sendExactly } from '../support/exact.ts'
import { Kafka, missing } from '../support/kafka.ts'
import { Oracle, type Process, startRole } from '../support/kafka-service.ts'
import { startLoad } from '../support/load.ts'
import { scrape, until } from '../support/service.ts'

const reason = missing()
if (reason !== undefined) console.error(`ingest and deliver around Kafka are not tested: ${reason}`)

const sum = async (processes: readonly Process[], name: string) => {
  const scrapes = await Promise.all(processes.map((process) => scrape(process)))
  return scrapes.reduce((total, samples) => total + (samples.get(name) ?? 0), 0)
}
const LAG = 'millrace_delivery_lag_events{sink="file"}'
const DELIVERED = 'millrace_events_delivered_total{sink="file"}'
const COMMITTED = 'millrace_events_committed_total'

function linesOf({ directory }: Process): string[] {
  const root = join(directory, 'data/delivered')
  return readdirSync(root).flatMap((file) => readFileSync(join(root, file), 'utf8').trimEnd().split('\n'))
}

/** What stands in the topic, as any consumer reads it. */
async function recordsOf(kafka: Kafka, topic: string, count: number) {
  const consumer = new Consumer({ clientId: 'test', groupId: `reader-of-${topic}`, bootstrapBrokers: kafka.brokers })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest' })
  const records: { value: string; headers: [string, string][] }[] = []
  for await (const { value, headers } of stream) {
    const pairs = [...headers].map(([name, text]): [string, string] => [String(name), String(text)])
    records.push({ value: String(value), headers: pairs })
    if (records.length === count) break
  }
  await consumer.close(true)
  return records
}

describe.skipIf(reason !== undefined)('ingest and deliver around three brokers', () => {
  let kafka: Kafka
  beforeAll(async () => {
    kafka = await Kafka.start({ brokers: 3 })
  })
  afterAll(() => kafka?.stop())

  test('two of each share the work: everything arrives, in order, and after a burst the lag is 0 again', async () => {
    const topic = { KAFKA_TOPIC: 'shared' }
    const ingests = [await startRole(kafka, 'ingest', topic), await startRole(kafka, 'ingest', topic)]
    const delivers = [await startRole(kafka, 'deliver', topic), await startRole(kafka, 'deliver', topic)]
    const loads = ingests.map(({ url }, at) => startLoad(url, { connections: 8, batch: 50, prefix: `i${at}-` }))
    await new Promise((resolve) => setTimeout(resolve, 8000))
    await Promise.all(loads.map((load) => load.stop()))
    const acknowledged = loads.flatMap((load) => [...load.acknowledged])
    await until(async () => (await sum(delivers, DELIVERED)) >= acknowledged.length, 60_000, 'all delivered')
    await until(async () => (await sum(delivers, LAG)) === 0, 10_000, 'no lag')
    expect(await sum(ingests, COMMITTED)).toBe(acknowledged.length)
    const shares = await Promise.all(delivers.map((process) => sum([process], DELIVERED)))
    for (const process of [...ingests, ...delivers]) expect(await process.stop()).toBe(0)
    const oracle = new Oracle()
    for (const process of delivers) await oracle.read(process)
    expect(acknowledged.filter((id) => !oracle.delivered.has(id))).toEqual([])
    expect([oracle.disordered, oracle.delivered.size]).toEqual([0, acknowledged.length])
    // Six partitions each; keys do not fall into them evenly.
    for (const share of shares) expect(share).toBeGreaterThan(0.2 * acknowledged.length)
    // What ingest keeps is in the brokers.
    for (const { directory } of ingests) expect(readdirSync(directory)).toEqual([])
    console.error(
      `  ${acknowledged.length} events: ${shares.join(' and ')} delivered by the two, ${oracle.repeated} repeated`,
    )
  })

  test('the topic holds complete CloudEvents in structured mode, and what arrives is what was received', async () => {
    const environment = { KAFKA_TOPIC: 'structured', MAX_BODY_BYTES: '900000' }
    const ingest = await startRole(kafka, 'ingest', environment)
    const deliver = await startRole(kafka, 'deliver', environment)
    const data = hardData((text) => text.length < 500_000)
    await sendExactly(ingest.url, data)
    const accepted = await fetch(`${ingest.url}/v1/events`, {
      method: 'POST',
      body: '{"data":"one"}\n{"data":"two","subject":null}',
      headers: { 'content-type': 'application/x-ndjson' },
    })
    expect(await accepted.json()).toEqual({ accepted: 2 })
    const records = await recordsOf(kafka, 'structured', data.size + 2)
    for (const { headers, value } of records) {
      expect(headers).toEqual([['content-type', 'application/cloudevents+json; charset=utf-8']])
      // Another implementation reads them; 1e400 would be no number to it.
      expect(() => new CloudEvent({ ...JSON.parse(value), data: null }, true)).not.toThrow()
    }
    const isOurs = (line: string) => !/"data":"(?:one|two)"/.test(line)
    expectExactly(records.map(({ value }) => value).filter(isOurs), data)
    const given = records.map(({ value }) => JSON.parse(value)).filter(({ data: text }) => /^(?:one|two)$/.test(text))
    expect(new Set(given.map(({ id }) => id)).size).toBe(2)
    await until(async () => (await sum([deliver], DELIVERED)) === data.size + 2, 30_000, 'all delivered')
    expect([await ingest.stop(), await deliver.stop()]).toEqual([0, 0])
    const delivered = linesOf(deliver)
    expectExactly(delivered.filter(isOurs), data)
    expect(delivered.toSorted()).toEqual(records.map(({ value }) => value).toSorted())
  }, 120_000)

  test('a process that joins takes a share, one that leaves gives it back: nothing is repeated', async () => {
    const topic = { KAFKA_TOPIC: 'scaled' }
    const ingest = await startRole(kafka, 'ingest', topic)
    const first = await startRole(kafka, 'deliver', topic)
    const load = startLoad(ingest.url, { connections: 4, batch: 10, pauseMs: 5 })
    await until(async () => (await sum([first], DELIVERED)) > 0, 20_000, 'the first delivers')
    const second = await startRole(kafka, 'deliver', topic)
    await until(async () => (await sum([second], DELIVERED)) > 0, 20_000, 'the second delivers as well')
    expect(await second.stop()).toBe(0)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await load.stop()
    await until(async () => (await sum([first], LAG)) === 0, 20_000, 'no lag')
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await until(async () => (await sum([first], LAG)) === 0, 20_000, 'no lag')
    expect(await first.stop()).toBe(0)
    expect(await ingest.stop()).toBe(0)
    const oracle = new Oracle()
    for (const process of [first, second]) await oracle.read(process)
    expect([...load.acknowledged].filter((id) => !oracle.delivered.has(id))).toEqual([])
    expect([oracle.disordered, oracle.repeated]).toEqual([0, 0])
  })

  test('deliver has no public listener; each says when the brokers do not answer, and when they do again', async () => {
    const topic = { KAFKA_TOPIC: 'ready' }
    const ingest = await startRole(kafka, 'ingest', topic)
    const deliver = await startRole(kafka, 'deliver', topic)
    expect(deliver.url).toBe('')
    const ready = async ({ adminUrl }: Process) => (await fetch(`${adminUrl}/health/ready`)).status
    expect([await ready(ingest), await ready(deliver)]).toEqual([200, 200])
    for (const node of kafka.nodes) kafka.pause(node)
    await until(async () => (await ready(ingest)) === 503 && (await ready(deliver)) === 503, 30_000, 'not ready')
    for (const node of kafka.nodes) kafka.resume(node)
    await until(async () => (await ready(ingest)) === 200 && (await ready(deliver)) === 200, 30_000, 'ready again')
    await kafka.whenWhole()
    expect([await ingest.stop(), await deliver.stop()]).toEqual([0, 0])
  })
})
