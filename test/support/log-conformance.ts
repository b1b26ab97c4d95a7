/** What every log engine promises, as tests: run against the embedded log and against Kafka. */
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { decode } from '../../app/delivery/decode.ts'
import { Delivery } from '../../app/delivery/delivery.ts'
import type { Consumer, Log, Position } from '../../app/log/log.ts'
import type { Batch } from '../../app/write.ts'
import { QUICK, ScriptedSink } from './delivery.ts'
import { until } from './service.ts'

export interface EngineUnderTest {
  /** Opens the log `name`, empty the first time, with what it had after that. */
  open(name: string): Promise<Log>
  openDeadLetters(name: string): Promise<Log>
  /** Runs of a property: a reopening is cheap in one engine and not in another. */
  readonly propertyRuns: number
}

interface Numbered {
  readonly id: number
  readonly subject: string
}

/** Events `from` … `to - 1`, spread over keys. */
function events(from: number, to: number, keys = 5): Batch {
  const made = Array.from({ length: to - from }, (_, at) => {
    const id = from + at
    return { id, subject: `k${id % keys}`, data: `Event ${id} ä€𝄞` }
  })
  return {
    payload: Buffer.from(made.map((event) => JSON.stringify(event)).join('\n')),
    count: made.length,
    keys: made.map(({ subject }) => subject),
  }
}

class Reading {
  readonly events: Numbered[] = []
  /** Where each partition has been read to. */
  readonly #ends = new Map<number, number>()
  readonly #consumer: Consumer

  constructor(consumer: Consumer) {
    this.#consumer = consumer
  }

  /** Reads on until it has seen this many events. */
  async upTo(count: number): Promise<this> {
    while (this.events.length < count) {
      const group = await this.#consumer.read(AbortSignal.timeout(15_000))
      if (group === undefined) throw new Error(`${this.events.length} of ${count} events came`)
      const next = this.#ends.get(group.partition) ?? this.#consumer.committedOffset(group.partition)
      const lines = group.payload.toString().trimEnd().split('\n')
      expect(lines).toHaveLength(group.count)
      for (const line of lines.slice(Math.max(0, next - group.baseOffset))) {
        const event: { id: unknown; subject: string } = JSON.parse(line)
        // An engine may complete events before it writes them, and then ids are texts.
        this.events.push({ ...event, id: Number(event.id) })
      }
      this.#ends.set(group.partition, group.baseOffset + group.count)
    }
    return this
  }

  get ids(): number[] {
    return this.events.map(({ id }) => id).sort((a, b) => a - b)
  }

  get positions(): Position[] {
    return [...this.#ends].map(([partition, offset]) => ({ partition, offset, deadLettered: 0, damaged: 0 }))
  }

  expectOrdered(): void {
    for (const key of new Set(this.events.map(({ subject }) => subject))) {
      const ids = this.events.filter(({ subject }) => subject === key).map(({ id }) => id)
      expect(ids, key).toEqual(ids.toSorted((a, b) => a - b))
    }
  }
}

const range = (to: number, from = 0) => Array.from({ length: to - from }, (_, at) => from + at)
let made = 0
const fresh = () => `conformance-${process.pid}-${made++}`

/** @param of made before the tests run. */
export function logConformance(of: () => EngineUnderTest): void {
  const open = async (name = fresh()): Promise<Log> => {
    const log = await of().open(name)
    onTestFinished(() => log.close())
    return log
  }

  describe('append and read', () => {
    test('what was appended is read back in order per key, by every consumer on its own', async () => {
      const log = await open()
      expect(await log.append([events(0, 40), events(40, 100)])).toEqual([])
      expect(await log.append([events(100, 120)])).toEqual([])
      for (const name of ['a', 'b']) {
        const read = await new Reading(await log.consumer(name)).upTo(120)
        expect(read.ids).toEqual(range(120))
        read.expectOrdered()
      }
    })

    test('the age of the oldest event is known without a read, also of what was there before, and is never too small', async () => {
      const name = fresh()
      const log = await open(name)
      const reader = await log.consumer('reader')
      await until(() => reader.failure === undefined && reader.lagEvents === 0, 15_000, 'it has its partitions')
      const appendedAtMs = Date.now()
      await log.append([events(0, 20)])
      const isSeen = () => reader.lagEvents === 20 && reader.oldestAppendedAtMs !== undefined
      await until(isSeen, 15_000, 'they are seen')
      // Nobody has read anything, and the reader may never do so.
      const oldest = () => reader.oldestAppendedAtMs ?? Number.NaN
      expect(oldest()).toBeLessThanOrEqual(appendedAtMs + 1000)
      expect(oldest()).toBeGreaterThan(appendedAtMs - 10_000)
      // Another one, for which they were there before.
      const late = await log.consumer('late')
      await until(() => late.lagEvents === 20 && late.oldestAppendedAtMs !== undefined, 15_000, 'they are seen')
      expect(late.oldestAppendedAtMs).toBeLessThanOrEqual(appendedAtMs + 1000)
      const read = await new Reading(reader).upTo(20)
      await reader.commit(read.positions)
      expect([reader.lagEvents, reader.oldestAppendedAtMs]).toEqual([0, undefined])
    }, 60_000)

    test('bytes come back as they went in, and the ids and times given to events are the same each time', async () => {
      const log = await open()
      const line = '{ "data" : "ä€𝄞 \\n \\u0000", "n":1.0 }'
      await log.append([{ payload: Buffer.from(line), count: 1, keys: ['k'] }])
      const once = await (await log.consumer('a')).read(AbortSignal.timeout(15_000))
      // What an engine fills in stands in front.
      expect(once?.payload.toString()).toMatch(/^\{.*\}\n$/)
      expect(once?.payload.toString().endsWith(`${line.slice(1)}\n`)).toBe(true)
      const again = await (await log.consumer('b')).read(AbortSignal.timeout(15_000))
      expect(once && decode(once)).toEqual(again && decode(again))
      expect(Math.abs((once?.appendedAtMs ?? 0) - Date.now())).toBeLessThan(60_000)
    })

    test('a large event gets through', async () => {
      const log = await open()
      const text = 'x'.repeat(700_000)
      await log.append([{ payload: Buffer.from(JSON.stringify({ data: text })), count: 1, keys: ['k'] }, events(0, 3)])
      const consumer = await log.consumer('a')
      const sizes: number[] = []
      while (sizes.reduce((sum, size) => sum + size, 0) < 4) {
        const group = await consumer.read(AbortSignal.timeout(15_000))
        sizes.push(group?.count ?? Number.NaN)
      }
    })

    test('a group larger than any one request gets through, in order', async () => {
      const log = await open()
      const pad = 'x'.repeat(100_000)
      const many = range(30).map((id) => JSON.stringify({ id, subject: 'one', data: pad }))
      await log.append([{ payload: Buffer.from(many.join('\n')), count: 30, keys: many.map(() => 'one') }])
      const read = await new Reading(await log.consumer('a')).upTo(30)
      expect(read.events.map(({ id }) => id)).toEqual(range(30))
    })

    test('a waiting consumer wakes when something is durable', async () => {
      const log = await open()
      const reading = new Reading(await log.consumer('a')).upTo(1)
      await log.append([events(0, 1)])
      expect((await reading).ids).toEqual([0])
    })

    test('no wake-up is lost when appends and reads race', async () => {
      const log = await open()
      const reading = new Reading(await log.consumer('a')).upTo(200)
      for (const id of range(200)) await log.append([events(id, id + 1)])
      const read = await reading
      expect(read.ids).toEqual(range(200))
      read.expectOrdered()
    })

    test('an aborted read gives undefined and loses nothing', async () => {
      const log = await open()
      const consumer = await log.consumer('a')
      expect(await consumer.read(AbortSignal.timeout(50))).toBeUndefined()
      await log.append([events(0, 3)])
      expect((await new Reading(consumer).upTo(3)).ids).toEqual([0, 1, 2])
    })

    test('committed events are counted', async () => {
      const log = await open()
      const before = log.committedEvents
      await log.append([events(0, 7), events(7, 9)])
      expect(log.committedEvents - before).toBe(9)
      expect(log.failure).toBeUndefined()
    })
  })

  describe('progress', () => {
    test('a consumer goes on where it committed, over a restart, and another begins at the first event', async () => {
      const name = fresh()
      const log = await of().open(name)
      await log.append([events(0, 50)])
      const read = await new Reading(await log.consumer('a')).upTo(50)
      await log.close()
      const second = await of().open(name)
      const again = await second.consumer('a')
      const repeated = await new Reading(again).upTo(50) // nothing was committed
      await again.commit(repeated.positions)
      await second.append([events(50, 60)])
      await second.close()
      const third = await open(name)
      expect((await new Reading(await third.consumer('a')).upTo(10)).ids).toEqual(range(60, 50))
      expect((await new Reading(await third.consumer('b')).upTo(60)).ids).toEqual(range(60))
      expect(read.ids).toEqual(range(50))
    })

    test('in the middle of a group too', async () => {
      const name = fresh()
      const log = await of().open(name)
      await log.append([events(0, 10, 1)])
      const consumer = await log.consumer('a')
      const [position] = (await new Reading(consumer).upTo(10)).positions
      if (position === undefined) throw new Error('nothing was read')
      await consumer.commit([{ ...position, offset: position.offset - 4 }])
      await log.close()
      const again = await open(name)
      expect((await new Reading(await again.consumer('a')).upTo(4)).ids).toEqual([6, 7, 8, 9])
    })

    test('a commit never moves back', async () => {
      const log = await open()
      await log.append([events(0, 10, 1)])
      const consumer = await log.consumer('a')
      const [position] = (await new Reading(consumer).upTo(10)).positions
      if (position === undefined) throw new Error('nothing was read')
      await consumer.commit([position])
      await consumer.commit([{ ...position, offset: position.offset - 5 }])
      expect(consumer.committedOffset(position.partition)).toBe(position.offset)
    })

    test('lag is what is durable and not committed; what is settled is counted by what became of it', async () => {
      const log = await open()
      await log.append([events(0, 10, 1)])
      const consumer = await log.consumer('a')
      const [position] = (await new Reading(consumer).upTo(10)).positions
      if (position === undefined) throw new Error('nothing was read')
      await until(() => consumer.lagEvents === 10, 5000, 'ten events to go')
      await consumer.commit([{ ...position, offset: position.offset - 3, deadLettered: 2, damaged: 1 }])
      expect(consumer.lagEvents).toBe(3)
      expect(consumer.settled).toEqual({ delivered: 4, deadLettered: 2, damaged: 1 })
      await consumer.commit([position])
      expect([consumer.lagEvents, consumer.settled.delivered]).toEqual([0, 7])
    })

    test('property: whatever is appended, committed and reopened, every event comes, in order, and none committed comes again', async () => {
      const step = fc.oneof(
        fc.record({ append: fc.integer({ min: 1, max: 40 }) }),
        fc.record({ commit: fc.boolean() }),
        fc.record({ reopen: fc.constant(true) }),
      )
      const program = fc.array(step, { minLength: 1, maxLength: 8 })
      await fc.assert(
        fc.asyncProperty(program, async (steps) => {
          const name = fresh()
          let log = await of().open(name)
          let consumer = await log.consumer('a')
          let read = new Reading(consumer)
          let [appended, committed] = [0, 0]
          for (const each of [...steps, { reopen: true }]) {
            if ('append' in each) {
              await log.append([events(appended, appended + each.append)])
              appended += each.append
            } else if ('commit' in each) {
              await read.upTo(appended - committed)
              if (!each.commit) continue
              await consumer.commit(read.positions)
              committed = appended
              read.events.length = 0
            } else {
              await log.close()
              log = await of().open(name)
              consumer = await log.consumer('a')
              read = new Reading(consumer)
            }
          }
          await read.upTo(appended - committed)
          expect(read.ids).toEqual(range(appended, committed))
          read.expectOrdered()
          await log.close()
        }),
        { numRuns: of().propertyRuns },
      )
    })
  })

  test('closed: an append is refused, a waiting read ends', async () => {
    const log = await of().open(fresh())
    const reading = (await log.consumer('a')).read(new AbortController().signal)
    await log.close()
    expect(await reading).toBeUndefined()
    await expect(log.append([events(0, 1)])).rejects.toMatchObject({ code: 'LOG_CLOSED' })
    await log.close()
  })

  describe('delivery', () => {
    const deliver = async (name: string, sink: ScriptedSink) => {
      const log = await of().open(name)
      const warnings: string[] = []
      const delivery = await Delivery.open({
        name: sink.name,
        log,
        sink,
        deadLetterLog: await of().openDeadLetters(`${name}.dead`),
        handlers: [],
        handlerConcurrency: 1,
        retry: QUICK,
        laneBytes: 1024 * 1024,
        onWarning: (message) => void warnings.push(message),
      })
      delivery.start()
      return { log, delivery, warnings }
    }

    test('every event is delivered in order per key, and a restart goes on behind the last', async () => {
      const name = fresh()
      const sink = new ScriptedSink({ concurrency: 3 })
      const first = await deliver(name, sink)
      await first.log.append([events(0, 100)])
      await until(() => first.delivery.settled.delivered === 100, 15_000, 'all delivered')
      expect(await first.delivery.close(5000)).toBe(true)
      await first.log.close()
      const next = new ScriptedSink({ concurrency: 3 })
      const second = await deliver(name, next)
      await second.log.append([events(100, 130)])
      await until(() => next.taken.length >= 30, 15_000, 'the rest delivered')
      await second.delivery.close(5000)
      await second.log.close()
      expect(next.ids.map(Number).sort((a, b) => a - b)).toEqual(range(130, 100))
      for (const { taken } of [sink, next]) {
        for (const key of range(5).map((at) => `k${at}`)) {
          const ids = taken.filter(({ subject }) => subject === key).map(({ id }) => Number(id))
          expect(ids).toEqual(ids.toSorted((a, b) => a - b))
        }
      }
    })

    test('what a sink refuses for good is a dead letter: listed, counted, and delivered by a replay', async () => {
      const name = fresh()
      const sink = new ScriptedSink()
      let refuses = true
      sink.behaviour = async (batch) =>
        batch.flatMap(({ id }, index) =>
          refuses && Number(id) % 10 === 0 ? [{ index, reason: 'no', retryable: false }] : [],
        )
      const { log, delivery } = await deliver(name, sink)
      await log.append([events(0, 50)])
      await until(() => delivery.settled.deadLettered === 5, 15_000, 'five dead letters')
      await until(() => delivery.deadLettersPending === 5, 15_000, 'five pending')
      const letters = await delivery.deadLetters(3)
      expect(letters.map(({ event, reason }) => [Number(event.id) % 10, reason])).toEqual(range(3).map(() => [0, 'no']))
      refuses = false
      expect(await delivery.replay()).toEqual({ letters: 5, failedAgain: 0 })
      await until(() => delivery.deadLettersPending === 0, 15_000, 'none pending')
      expect(sink.ids.map(Number).sort((a, b) => a - b)).toEqual(range(50))
      expect(await delivery.replay()).toEqual({ letters: 0, failedAgain: 0 })
      await delivery.close(5000)
      await log.close()
    })

    test('a record that is no event is stepped over and counted', async () => {
      const name = fresh()
      const sink = new ScriptedSink()
      const { log, delivery, warnings } = await deliver(name, sink)
      const lines = ['{"id":0,"data":0}', '[1]', 'not json', '{"id":3,"data":3}']
      await log.append([{ payload: Buffer.from(lines.join('\n')), count: 4, keys: lines.map(() => 'k') }])
      await until(() => delivery.lagEvents === 0 && sink.taken.length === 2, 15_000, 'all settled')
      await until(() => delivery.settled.damaged === 2, 15_000, 'two counted')
      expect(sink.ids).toEqual(['0', '3'])
      expect(warnings.filter((warning) => /not a JSON object/.test(warning))).toHaveLength(2)
      await delivery.close(5000)
      await log.close()
    })
  })
}
