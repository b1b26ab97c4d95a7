import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { KafkaLog } from '../../app/log/kafka/kafka-log.ts'
import type { TopicRequirements } from '../../app/log/kafka/topic.ts'
import type { Consumer, Damage } from '../../app/log/log.ts'
import { batchOf } from '../support/batch.ts'
import { Kafka, missing } from '../support/kafka.ts'
import { until } from '../support/service.ts'

const reason = missing()
if (reason !== undefined) console.error(`topics are not tested: ${reason}`)

describe.skipIf(reason !== undefined)('the topic', () => {
  let kafka: Kafka
  beforeAll(async () => {
    kafka = await Kafka.start()
  })
  afterAll(() => kafka?.stop())

  const damages: Damage[] = []
  const open = async (topic: Partial<TopicRequirements> & { name: string }) => {
    const requirements = { replication: 1, minInSync: 1, create: true, partitions: 1, retentionMs: 3_600_000, ...topic }
    const observer = { onDamage: (damage: Damage) => void damages.push(damage) }
    const options = { writeTimeoutMs: 5000, groupPrefix: topic.name, shared: true, observer }
    const log = await KafkaLog.open({ ...options, connection: kafka.connection(), topic: requirements })
    onTestFinished(() => log.close())
    return log
  }
  const make = async (topic: string, minInSync: number) => {
    const admin = kafka.admin()
    const configs = [{ name: 'min.insync.replicas', value: String(minInSync) }]
    await admin.createTopics({ topics: [{ topic, partitions: 1, replicas: 1 }], configs })
    await admin.close()
  }

  test('is not made unless that is wanted: the error has the command', async () => {
    await expect(open({ name: 'absent', create: false, partitions: 6 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(
        /^topic absent does not exist: set KAFKA_CREATE_TOPICS=true, or make it: kafka-topics\.sh --create --topic absent --partitions 6 [^\n]*$/,
      ),
    })
  })

  test('that keeps fewer copies than a 202 promises is refused', async () => {
    await make('thin', 1)
    await expect(open({ name: 'thin', replication: 3 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'topic thin keeps 1 copies, KAFKA_REPLICATION asks for 3',
    })
    await expect(open({ name: 'thin', minInSync: 2 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/^topic thin acknowledges with 1 copies in sync, .* min\.insync\.replicas=2$/),
    })
  })

  test('whose brokers do not say how many copies must be in sync is refused', async () => {
    await make('silent', 1)
    const admin = kafka.admin()
    const described = vi.spyOn(Object.getPrototypeOf(admin), 'describeConfigs')
    await admin.close()
    onTestFinished(() => described.mockRestore())
    for (const value of [undefined, null, '', 'two', '-1']) {
      described.mockResolvedValue([
        {
          configs: [
            { name: 'min.insync.replicas', value },
            { name: 'max.message.bytes', value: '1' },
          ],
        },
      ])
      await expect(open({ name: 'silent' })).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(
          /the brokers .* min\.insync\.replicas of topic silent: allow this user to describe/,
        ),
      })
    }
  })

  test('of dead letters takes more than the topic of their events, or says that it does not', async () => {
    const large = 'x'.repeat(1_500_000)
    const log = await open({ name: 'letters', maxBatchBytes: 5_000_000 })
    expect(await log.append([batchOf(large)])).toEqual([])
    await make('small-letters', 1)
    const warnings: string[] = []
    const options = { replication: 1, minInSync: 1, create: true, partitions: 1, retentionMs: 3_600_000 }
    const small = await KafkaLog.open({
      connection: kafka.connection(),
      topic: { name: 'small-letters', maxBatchBytes: 5_000_000, ...options },
      writeTimeoutMs: 5000,
      groupPrefix: 'small-letters',
      shared: false,
      observer: { onWarning: (text) => void warnings.push(text) },
    })
    onTestFinished(() => small.close())
    expect(warnings).toEqual([
      expect.stringMatching(/kafka-configs.sh --alter --topic small-letters --add-config max.message.bytes=5000000/),
    ])
  })

  test('made by several processes at once, it is made once', async () => {
    const logs = await Promise.all(Array.from({ length: 4 }, () => open({ name: 'together', partitions: 3 })))
    for (const log of logs) expect(await log.append([batchOf(1)])).toEqual([])
  })

  test('whose oldest events are deleted before they are delivered: on with the next, and they are counted', async () => {
    const name = 'short'
    const log = await open({ name })
    await log.append([batchOf(...Array.from({ length: 100 }, (_, id) => id))])
    const consumer = await log.consumer('late')
    await consumer.read(AbortSignal.timeout(10_000))
    await consumer.commit([{ partition: 0, offset: 10, deadLettered: 0, damaged: 0 }])
    await consumer.close()
    const admin = kafka.admin()
    await admin.deleteRecords({ topics: [{ name, partitions: [{ partition: 0, offset: 60n }] }] })
    await admin.close()
    const late = await log.consumer('late')
    const group = await late.read(AbortSignal.timeout(10_000))
    expect([group?.baseOffset, group?.count]).toEqual([60, 40])
    expect(damages).toMatchObject([{ position: 10, events: 50, reason: expect.stringMatching(/raise the retention/) }])
    await late.commit([{ partition: 0, offset: 100, deadLettered: 0, damaged: 0 }])
    expect(late.settled).toEqual({ delivered: 40, deadLettered: 0, damaged: 50 })
    await until(() => late.lagEvents === 0, 5000, 'no lag')
  })

  test('where one partition has lost its oldest events, the others go on where they were', async () => {
    const name = 'short-in-one'
    const log = await open({ name, partitions: 3 })
    const ids = Array.from({ length: 90 }, (_, id) => id)
    await log.append([{ ...batchOf(...ids), keys: ids.map((id) => `k${id}`) }])
    /** Where each partition's first group began, and how many events it has. */
    const readAll = async (consumer: Consumer, events: number) => {
      const found = new Map<number, { from: number; count: number }>()
      for (let read = 0; read < events; ) {
        const group = await consumer.read(AbortSignal.timeout(10_000))
        if (group === undefined) throw new Error(`only ${read} of ${events} came`)
        const { from = group.baseOffset, count = 0 } = found.get(group.partition) ?? {}
        found.set(group.partition, { from, count: count + group.count })
        read += group.count
      }
      return found
    }
    const first = await log.consumer('late')
    const ends = await readAll(first, ids.length)
    expect([...ends.values()].every(({ from, count }) => from === 0 && count > 10)).toBe(true)
    await first.commit([0, 1, 2].map((partition) => ({ partition, offset: 5, deadLettered: 0, damaged: 0 })))
    await first.close()
    const admin = kafka.admin()
    await admin.deleteRecords({ topics: [{ name, partitions: [{ partition: 1, offset: 8n }] }] })
    await admin.close()
    const late = await log.consumer('late')
    const again = await readAll(late, ids.length - 5 - 8 - 5)
    expect([0, 1, 2].map((partition) => again.get(partition)?.from)).toEqual([5, 8, 5])
    for (const partition of [0, 2]) expect(late.committedOffset(partition)).toBe(5)
  })

  test('an event that it cannot hold is refused by itself; those beside it are stored', async () => {
    const log = await open({ name: 'large' })
    const large = Buffer.concat([batchOf(1).payload, Buffer.from(`\n{"data":"${'x'.repeat(2 * 1024 * 1024)}"}`)])
    const lost = await log.append([{ payload: large, count: 2, keys: ['a', 'a'] }])
    expect(lost).toMatchObject([{ batch: 0, index: 1, error: { code: 'BODY_TOO_LARGE', retryable: false } }])
    expect(log.committedEvents).toBe(1)
  })
})
