/** What becomes of answers that are not good: said, counted, and no reason to stop reading the other partitions. */
import { type Consumer as Client, protocolErrors } from '@platformatic/kafka'
import { expect, onTestFinished, test } from 'vitest'
import { Fetcher } from '../../../app/log/kafka/fetcher.ts'
import { until } from '../../support/service.ts'

type Asked = Parameters<Client['fetch']>[0]
type Answer = Awaited<ReturnType<Client['fetch']>>

const codeOf = (name: string) => (protocolErrors[name] as { code: number }).code

/** One event of a partition, as the client hands it on. */
const record = (offset: number) => ({
  firstOffset: BigInt(offset),
  lastOffsetDelta: 0,
  attributes: 0,
  firstTimestamp: offset === 1 ? -1n : offset === 2 ? 2n ** 62n : BigInt(1000 + offset),
  records: [{ offsetDelta: 0, value: Buffer.from(`{"data":${offset}}`) }],
})

/** A broker that leads three partitions and answers as `say` says, by partition and offset. */
function start(say: (partition: number, offset: number) => string | undefined) {
  const asked: number[][] = []
  const fetch = async ({ topics }: Asked): Promise<Answer> => {
    const partitions = topics.flatMap((topic) => topic.partitions)
    asked.push(partitions.map(({ partition }) => partition))
    await new Promise((resolve) => setTimeout(resolve, 2))
    const broken = partitions.find(({ partition, fetchOffset }) => say(partition, Number(fetchOffset)) === 'unreadable')
    if (broken) throw new Error('a batch of records is damaged')
    const answers = partitions.map(({ partition, fetchOffset }) => {
      const error = say(partition, Number(fetchOffset))
      const records = error === undefined ? [record(Number(fetchOffset))] : []
      return {
        partitionIndex: partition,
        errorCode: error ? codeOf(error) : 0,
        highWatermark: fetchOffset + 1n,
        records,
      }
    })
    const answer = { responses: [{ topicId: 't', partitions: answers }] } as unknown as Answer
    // As the client does it: the answer is in the error.
    if (answers.some(({ errorCode }) => errorCode !== 0)) {
      throw new AggregateError([Object.assign(new Error('response'), { response: answer })], 'tried once')
    }
    return answer
  }
  const leaders = [0, 1, 2].map(() => ({ leader: 1 }))
  const client = {
    topics: { track: () => undefined },
    metadata: async () => ({ topics: new Map([['events', { partitions: leaders }]]) }),
    clearMetadata: () => undefined,
    fetch,
  } as unknown as Client
  const fetcher = new Fetcher({
    client,
    topic: { name: 'events', id: 't', partitions: 3, maxBatchBytes: 1e6 },
    onOutOfRange: async (_, offset) => offset + 100,
    onHighWatermark: () => undefined,
  })
  onTestFinished(() => fetcher.close())
  for (const partition of [0, 1, 2]) fetcher.add(partition, 0)
  const seen = new Map<number, number>()
  const reading = (async () => {
    for (;;) {
      const group = await fetcher.next(new AbortController().signal)
      if (group === undefined) return
      new Date(group.appendedAtMs).toISOString() // a time, whatever others write
      expect(group.appendedAtMs).toBeGreaterThanOrEqual(1000)
      seen.set(group.partition, group.baseOffset)
    }
  })()
  return { fetcher, seen, asked, reading }
}

test('a partition that may not be read any more: said by its name and counted, and the others go on', async () => {
  let revoked = true
  const { fetcher, seen } = start((partition) =>
    partition === 1 && revoked ? 'TOPIC_AUTHORIZATION_FAILED' : undefined,
  )
  await until(() => (seen.get(0) ?? 0) > 3 && (seen.get(2) ?? 0) > 3, 10_000, 'the others are read')
  expect(fetcher.failure).toBe('partition 1 of events cannot be read (TOPIC_AUTHORIZATION_FAILED)')
  expect(fetcher.errors).toBeGreaterThan(2)
  expect(seen.has(1)).toBe(false)
  revoked = false
  await until(() => (seen.get(1) ?? 0) > 3, 10_000, 'it is read again')
  expect(fetcher.failure).toBeUndefined()
})

test('an answer that cannot be read, because of one partition: asked for one by one, the others go on', async () => {
  let damaged = true
  const { fetcher, seen, asked } = start((partition) => (partition === 2 && damaged ? 'unreadable' : undefined))
  await until(() => (seen.get(0) ?? 0) > 2 && (seen.get(1) ?? 0) > 2, 20_000, 'the others are read')
  expect(fetcher.failure).toBe('partition 2 of events cannot be read (a batch of records is damaged)')
  damaged = false
  await until(() => (seen.get(2) ?? 0) > 2, 20_000, 'it is read again')
  await until(() => asked.at(-1)?.length === 3, 20_000, 'all are asked for at once again')
  expect(fetcher.failure).toBeUndefined()
})

test('one that is out of range is looked for, and only that one', async () => {
  const { fetcher, seen } = start((partition, offset) =>
    partition === 0 && offset < 100 ? 'OFFSET_OUT_OF_RANGE' : undefined,
  )
  await until(() => (seen.get(0) ?? 0) >= 100, 10_000, 'it goes on behind')
  expect(seen.get(1)).toBeLessThan(100)
  await until(() => fetcher.failure === undefined, 10_000, 'nothing fails')
})
