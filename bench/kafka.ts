/**
 * What the Kafka engine takes, beside the producer of @platformatic/kafka used directly: same brokers, same topic, same
 * events, acks=all on three copies, idempotent. In bulk, 2,000 small events a call; one by one, 256 writers at once,
 * each waiting for its event, which is where group commit counts.
 */
import { type MessageToProduce, ProduceAcks, Producer } from '@platformatic/kafka'
import { channel } from '../app/channel/channel.ts'
import { groupCommit } from '../app/log/group-commit.ts'
import { KafkaLog } from '../app/log/kafka/kafka-log.ts'
import type { Batch } from '../app/write.ts'
import { Write } from '../app/write.ts'
import { Kafka, missing } from '../test/support/kafka.ts'
import type { Measured, Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { type Case, takeTurns } from './support/rounds.ts'
import { quantile } from './support/statistics.ts'

const TOPIC = 'bench'
const PARTITIONS = 12
const KEYS = 1000
const BULK_EVENTS = 2000
const REQUEST_EVENTS = 100
const WRITERS = 256
const GROUP_BYTES = 1024 * 1024
const OURS = 'one by one: Millrace, group commit'
const THEIRS = 'one by one: producer, one send each'

const keys = Array.from({ length: BULK_EVENTS }, (_, at) => `key-${at % KEYS}`)
const values = keys.map((subject, id) => JSON.stringify({ id, subject, data: `Event ${id}` }))
const requests: Batch[] = Array.from({ length: BULK_EVENTS / REQUEST_EVENTS }, (_, at) => {
  const from = at * REQUEST_EVENTS
  const lines = values.slice(from, from + REQUEST_EVENTS)
  return { payload: Buffer.from(lines.join('\n')), count: lines.length, keys: keys.slice(from, from + REQUEST_EVENTS) }
})

function message(at: number): MessageToProduce {
  return { topic: TOPIC, key: Buffer.from(keys[at] ?? ''), value: Buffer.from(values[at] ?? '') }
}

/** As many calls after each other as hold the events. */
function bulk(call: () => Promise<unknown>): Case {
  return async (events) => {
    const calls = Math.ceil(events / BULK_EVENTS)
    for (let at = 0; at < calls; at++) await call()
    return calls * BULK_EVENTS
  }
}

/** Writers that wait for each of their events; keeps how long they waited. */
function single(write: (at: number) => Promise<unknown>, waitsMs: number[]): Case {
  return async (events) => {
    let next = 0
    const writer = async () => {
      for (let at = next++; at < events; at = next++) {
        const startedAt = performance.now()
        await write(at % BULK_EVENTS)
        waitsMs.push(performance.now() - startedAt)
      }
    }
    await Promise.all(Array.from({ length: WRITERS }, writer))
    return events
  }
}

export const kafkaBench: Question = {
  name: 'kafka',
  title: 'The Kafka engine, beside a producer',
  how: `Three brokers on this machine, ${PARTITIONS} partitions, acks=all, idempotent. In bulk: ${BULK_EVENTS.toLocaleString('en')} small events a call. One by one: ${WRITERS} writers at once, each waiting for its event.`,
  targets: [],
  plots: [],
  async run({ smoke }) {
    const reason = missing()
    if (reason !== undefined) return { series: [], skipped: [{ subject: 'all', reason }] }
    const kafka = await Kafka.start({ brokers: 3 })
    try {
      return await compare(kafka, smoke)
    } finally {
      await kafka.stop()
    }
  },
}

async function compare(kafka: Kafka, smoke: boolean): Promise<Measured> {
  const log = await KafkaLog.open({
    connection: kafka.connection(),
    topic: { name: TOPIC, replication: 3, minInSync: 2, create: true, partitions: PARTITIONS, retentionMs: 3_600_000 },
    writeTimeoutMs: 10_000,
    groupPrefix: TOPIC,
    shared: true,
  })
  const direct = new Producer({
    clientId: 'direct',
    bootstrapBrokers: kafka.brokers,
    acks: ProduceAcks.ALL,
    idempotent: true,
  })
  const { sender, receiver } = channel<Write>(65_536, { slots: ({ count }) => count })
  const committing = groupCommit(receiver, log, { maxGroupBytes: GROUP_BYTES })
  const throughGroups = async (at: number) => {
    await new Promise<void>((resolve, reject) => {
      const onSettled = (error: unknown) => (error === undefined ? resolve() : reject(error))
      sender.send(new Write(Buffer.from(values[at] ?? ''), 1, onSettled, { keys: [keys[at] ?? ''] })).catch(reject)
    })
  }
  const [rounds, events] = smoke ? [1, 20_000] : [7, 200_000]
  const inBulk = await takeTurns(
    {
      'bulk: Millrace, 20 requests of 100': bulk(() => log.append(requests)),
      'bulk: producer, one send of 2,000': bulk(() => direct.send({ messages: keys.map((_, at) => message(at)) })),
    },
    rounds,
    events,
  )
  const [ours, theirs]: [number[], number[]] = [[], []]
  const oneByOne = await takeTurns(
    {
      [OURS]: single(throughGroups, ours),
      [THEIRS]: single((at) => direct.send({ messages: [message(at)] }), theirs),
    },
    rounds,
    smoke ? 2000 : 10_000,
  )
  sender.close()
  await committing
  await Promise.all([log.close(), direct.close()])
  const collected = new Collected()
  for (const [name, rates] of [...inBulk, ...oneByOne]) {
    for (const eventsPerSecond of rates) collected.add(name, { eventsPerSecond })
  }
  for (const [name, waits] of [
    [OURS, ours],
    [THEIRS, theirs],
  ] as const) {
    const sorted = Float64Array.from(waits).sort()
    collected.add(name, { p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) })
  }
  return { series: collected.series }
}
