import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { ListedLetter } from '../../app/delivery/dead-letters.ts'
import type { Event } from '../../app/event.ts'
import type { Handler } from '../../app/handlers/handler.ts'
import { readPending } from '../../app/log/embedded/inspect.ts'
import type { Failure } from '../../app/sinks/sink.ts'
import { SinkUnavailable } from '../../app/sinks/sink.ts'
import { GatheringSink, numbered, openLog, QUICK, ScriptedSink, startDelivery } from '../support/delivery.ts'
import { until } from '../support/service.ts'

async function pendingLetters(directory: string, limit: number): Promise<ListedLetter[]> {
  const lines = await readPending(join(directory, 'dead/scripted'), 'replay', limit)
  return lines.map((line) => JSON.parse(line))
}

import { temporaryDirectory } from '../support/temporary.ts'

/** The first time each id was taken, by key, as numbers. */
function firstTaken(taken: readonly Event[]): Map<string, number[]> {
  const byKey = new Map<string, number[]>()
  const seen = new Set<string>()
  for (const { id, subject = '' } of taken) {
    if (seen.has(id)) continue
    seen.add(id)
    byKey.set(subject, [...(byKey.get(subject) ?? []), Number(id)])
  }
  return byKey
}

function expectOrdered(taken: readonly Event[]): void {
  for (const numbers of firstTaken(taken).values()) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
}

const settled = (delivery: { lagEvents: number }) => until(() => delivery.lagEvents === 0, 10_000, 'no lag')

describe('at least once and in order per key', () => {
  test('property: whatever the sink does, every event is taken or a dead letter, in order per key, over restarts', async () => {
    const script = fc.infiniteStream(fc.constantFrom('ok', 'ok', 'ok', 'ok', 'retry', 'never', 'throw', 'slow'))
    await fc.assert(
      fc.asyncProperty(
        script,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (outcomes, concurrency, maxBatchEvents, appends, handled) => {
          const directory = temporaryDirectory()
          // Failures inside one batch may break the order only by the sink's own doing: all of it fails, or none.
          const behaviour = async (events: readonly Event[]): Promise<Failure[] | undefined> => {
            const outcome = outcomes.next().value
            if (outcome === 'throw') throw new SinkUnavailable('down')
            if (outcome === 'slow') await new Promise((resolve) => setTimeout(resolve, 1))
            if (outcome !== 'retry' && outcome !== 'never') return undefined
            return events.map((_, index) => ({ index, reason: outcome, retryable: outcome === 'retry' }))
          }
          const taken: Event[] = []
          const letters: { event: Event }[] = []
          let sent = 0
          for (const events of appends) {
            const sink = new ScriptedSink({ concurrency, maxBatchEvents })
            sink.behaviour = behaviour
            const rig = await startDelivery(directory, sink, { handlers: handled ? [(event) => event] : [] })
            await rig.log.append([numbered(sent, sent + events)])
            sent += events
            // Stopped anywhere: what is not settled by then is delivered by the next start.
            await new Promise((resolve) => setTimeout(resolve, outcomes.next().value === 'ok' ? 0 : 3))
            await rig.close(0)
            expectOrdered(sink.taken)
            taken.push(...sink.taken)
          }
          const last = new ScriptedSink({ concurrency, maxBatchEvents })
          const rig = await startDelivery(directory, last)
          await settled(rig.delivery)
          const { delivered, deadLettered, damaged } = rig.delivery.settled
          expect(delivered + deadLettered + damaged).toBe(sent)
          expect(rig.delivery.deadLettersPending).toBeGreaterThanOrEqual(deadLettered)
          await rig.close()
          taken.push(...last.taken)
          letters.push(...(await pendingLetters(directory, 10_000)))
          const arrived = new Set([...taken, ...letters.map(({ event }) => event)].map(({ id }) => id))
          expect(arrived).toEqual(new Set(Array.from({ length: sent }, (_, id) => String(id))))
        },
      ),
      { numRuns: 60 },
    )
  })

  test('an event that fails is retried in its place: the same key waits, lanes of other keys go on', async () => {
    const sink = new ScriptedSink({ concurrency: 8, maxBatchEvents: 1 })
    let failures = 2
    sink.behaviour = async ([event]) => {
      if (event?.id !== '0' || failures-- <= 0) return undefined
      return [{ index: 0, reason: 'not now', retryable: true }]
    }
    const rig = await startDelivery(temporaryDirectory(), sink, { retry: { baseMs: 40, maxMs: 40, maxAttempts: 5 } })
    await rig.log.append([numbered(0, 9)])
    await settled(rig.delivery)
    expectOrdered(sink.taken)
    expect(sink.ids).toHaveLength(9)
    await rig.close()
  })

  test('a handler that fails at first: what has the same key does not overtake', async () => {
    let failures = 2
    const flaky: Handler = (event) => {
      if (event.id === '0' && failures-- > 0) throw new Error('not yet')
      return event
    }
    const sink = new ScriptedSink()
    const rig = await startDelivery(temporaryDirectory(), sink, { handlers: [flaky] })
    await rig.log.append([numbered(0, 6, 2)])
    await settled(rig.delivery)
    expect(firstTaken(sink.taken)).toEqual(
      new Map([
        ['k1', [1, 3, 5]],
        ['k0', [0, 2, 4]],
      ]),
    )
    await rig.close()
  })

  describe('a filter', () => {
    test('keeps events out: they are settled at once, and counted', async () => {
      const sink = new ScriptedSink()
      const rig = await startDelivery(temporaryDirectory(), sink, { filter: ({ id }) => Number(id) % 10 === 3 })
      await rig.log.append([numbered(0, 100)])
      await settled(rig.delivery)
      expect(sink.ids.toSorted()).toEqual(['13', '23', '3', '33', '43', '53', '63', '73', '83', '93'])
      expect(rig.delivery.filteredTotal).toBe(90)
      expect(rig.delivery.settled).toMatchObject({ delivered: 100, deadLettered: 0 })
      await rig.close()
    })

    test('that throws makes a dead letter at once, with the stack; mended, a replay asks it again', async () => {
      let broken = true
      const filter = ({ id }: Event) => {
        if (broken && id === '2') throw new Error('no such field')
        return id !== '3'
      }
      const sink = new ScriptedSink()
      const rig = await startDelivery(temporaryDirectory(), sink, { filter })
      await rig.log.append([numbered(0, 5)])
      await settled(rig.delivery)
      expect(sink.ids.toSorted()).toEqual(['0', '1', '4'])
      const [letter] = await rig.delivery.deadLetters(10)
      expect(letter).toMatchObject({ event: { id: '2' }, offset: 2, attempts: 1 })
      expect(letter?.reason).toMatch(/^the filter threw: Error: no such field\n +at /)
      broken = false
      expect(await rig.delivery.replay()).toEqual({ letters: 1, failedAgain: 0 })
      expect(sink.ids).toContain('2')
      await rig.close()
    })
  })

  describe('a sink that gathers', () => {
    test('goes on taking; nothing is committed before it says that it is durable', async () => {
      const directory = temporaryDirectory()
      const sink = new GatheringSink()
      const rig = await startDelivery(directory, sink)
      await rig.log.append([numbered(0, 250)])
      await until(() => sink.taken.length === 250, 2000, 'all is taken')
      expect(rig.delivery.settled.delivered).toBe(0)
      expect([rig.delivery.lagEvents, rig.delivery.waitingEvents]).toEqual([250, 0])
      expect(rig.delivery.lagSeconds).toBeGreaterThan(0)
      await sink.flush()
      await settled(rig.delivery)
      expect(rig.delivery.settled.delivered).toBe(250)
      await rig.close()
    })

    test('is asked to make it durable when the process stops', async () => {
      const directory = temporaryDirectory()
      const sink = new GatheringSink()
      const rig = await startDelivery(directory, sink)
      await rig.log.append([numbered(0, 10)])
      await until(() => sink.taken.length === 10, 2000, 'all is taken')
      expect(await rig.close(10_000)).toBe(true)
      const next = await startDelivery(directory, new GatheringSink())
      expect(next.delivery.lagEvents).toBe(0)
      await next.close()
    })

    test('one that cannot get rid of it fails, and the next start delivers it again, from the same offsets', async () => {
      const directory = temporaryDirectory()
      const sink = new GatheringSink()
      sink.failure = 'no bucket'
      const rig = await startDelivery(directory, sink)
      await rig.log.append([numbered(0, 10)])
      await until(() => sink.taken.length === 10, 2000, 'all is taken')
      expect([rig.delivery.failing, rig.delivery.failure]).toEqual([true, 'no bucket'])
      await rig.close(50)
      const again = new GatheringSink()
      const next = await startDelivery(directory, again)
      await until(() => again.taken.length === 10, 2000, 'all is taken')
      expect(again.places).toEqual(sink.places)
      await next.close()
    })

    test('replayed dead letters come with their places in their own log', async () => {
      const directory = temporaryDirectory()
      const sink = new GatheringSink()
      sink.behaviour = async (events) => events.map((_, index) => ({ index, reason: 'never', retryable: false }))
      const rig = await startDelivery(directory, sink)
      await rig.log.append([numbered(0, 4)])
      await until(() => rig.delivery.deadLettersPending === 4, 2000, 'all are dead letters')
      const places = [...sink.places]
      sink.behaviour = async () => undefined
      sink.places.length = 0
      expect(await rig.delivery.replay()).toEqual({ letters: 4, failedAgain: 0 })
      expect(sink.places.map((place) => place.split(' ')[1])).toEqual(['0', '1', '2', '3'])
      expect(sink.places[0]?.split(' ')[0]).not.toBe(places[0]?.split(' ')[0])
      await rig.close()
    })
  })

  test('what is committed is not delivered again, not even the first half of a group', async () => {
    const directory = temporaryDirectory()
    const sink = new ScriptedSink({ maxBatchEvents: 5 })
    sink.behaviour = async (events) => {
      if (events.some(({ id }) => id === '5')) throw new SinkUnavailable('down')
      return undefined
    }
    const rig = await startDelivery(directory, sink)
    await rig.log.append([numbered(0, 10)])
    await until(() => rig.delivery.settled.delivered === 5, 2000, 'half of it')
    await rig.close(0)
    const healed = new ScriptedSink()
    const again = await startDelivery(directory, healed)
    await settled(again.delivery)
    expect(healed.ids).toEqual(['5', '6', '7', '8', '9'])
    await again.close()
  })

  test('nothing is delivered before it is started: then the log knows all that it must keep events for', async () => {
    const directory = temporaryDirectory()
    const log = await openLog(join(directory, 'log'))
    const [slow, fast] = [new ScriptedSink({ name: 'slow' }), new ScriptedSink({ name: 'fast' })]
    const one = await startDelivery(directory, fast, { log, start: false })
    const payload = Buffer.from(JSON.stringify({ data: 'x'.repeat(20_000) }))
    for (let event = 0; event < 10; event++) await log.append([{ payload, count: 1 }])
    const other = await startDelivery(directory, slow, { log, start: false })
    expect([fast.ids.length, log.firstOffset]).toEqual([0, 0])
    for (const { delivery } of [one, other]) delivery.start()
    for (const { delivery } of [one, other]) await settled(delivery)
    expect([fast.ids.length, slow.ids.length]).toEqual([10, 10])
    await one.close()
    await other.close()
    await log.close()
  })

  test('an event larger than a lane, stored under other limits, is delivered like any other', async () => {
    const sink = new ScriptedSink()
    const rig = await startDelivery(temporaryDirectory(), sink, { laneBytes: 10_000 })
    const large = Buffer.from(JSON.stringify({ id: 'large', data: 'x'.repeat(40_000) }))
    await rig.log.append([numbered(0, 3), { payload: large, count: 1 }])
    await rig.log.append([{ payload: large, count: 1 }])
    await rig.log.append([numbered(3, 6)])
    await settled(rig.delivery)
    expect(sink.ids).toEqual(['0', '1', '2', 'large', 'large', '3', '4', '5'])
    expect(await rig.close()).toBe(true)
  })

  test('while the log cannot be read it is tried again, and says so; nothing is left out', async () => {
    const log = await openLog(temporaryDirectory())
    const open = log.consumer.bind(log)
    let broken = true
    log.consumer = async (name) => {
      const consumer = await open(name)
      const read = consumer.read.bind(consumer)
      consumer.read = (signal) => (broken ? Promise.reject(new Error('EIO: made up')) : read(signal))
      return consumer
    }
    const sink = new ScriptedSink()
    const rig = await startDelivery(temporaryDirectory(), sink, { log })
    await log.append([numbered(0, 5)])
    await until(() => rig.delivery.failing, 2000, 'failing')
    expect(rig.delivery.failure).toBe('the log cannot be read: EIO: made up')
    broken = false
    await settled(rig.delivery)
    expect([rig.delivery.failing, sink.ids]).toEqual([false, ['0', '1', '2', '3', '4']])
    expect(rig.warnings).toEqual([expect.stringMatching(/fails.*EIO/), 'sink scripted works again'])
    await rig.close()
    await log.close()
  })

  test('a commit that is durable and fails all the same is not counted twice', async () => {
    const log = await openLog(temporaryDirectory())
    const open = log.consumer.bind(log)
    let failures = 3
    log.consumer = async (name) => {
      const consumer = await open(name)
      const commit = consumer.commit.bind(consumer)
      consumer.commit = async (positions) => {
        await commit(positions)
        if (failures-- > 0) throw new Error('EIO: made up')
      }
      return consumer
    }
    const sink = new ScriptedSink({ maxBatchEvents: 1 })
    sink.behaviour = async () => [{ index: 0, reason: 'broken', retryable: false }]
    const rig = await startDelivery(temporaryDirectory(), sink, { log })
    for (let event = 0; event < 6; event += 2) {
      await log.append([numbered(event, event + 2)])
      await settled(rig.delivery)
    }
    expect(rig.delivery.settled).toEqual({ delivered: 0, deadLettered: 6, damaged: 0 })
    await rig.close()
    await log.close()
  })

  test('a sink that cannot be closed is said, and what is beside it is closed all the same', async () => {
    const directory = temporaryDirectory()
    const sink = new ScriptedSink()
    sink.close = () => Promise.reject(new Error('EACCES: made up'))
    const rig = await startDelivery(directory, sink)
    expect(await rig.close()).toBe(false)
    expect(rig.warnings).toEqual(['sink scripted could not be closed: EACCES: made up'])
    await (await openLog(join(directory, 'dead/scripted'))).close() // its lock is free
  })

  test('the offset is committed only after the sink is flushed', async () => {
    const directory = temporaryDirectory()
    const sink = new ScriptedSink()
    let flushed = 0
    sink.flush = async () => {
      flushed = sink.taken.length
    }
    const rig = await startDelivery(directory, sink)
    await rig.log.append([numbered(0, 50)])
    await until(
      () => {
        expect(rig.delivery.settled.delivered).toBeLessThanOrEqual(flushed)
        return rig.delivery.lagEvents === 0
      },
      5000,
      'delivered',
    )
    await rig.close()
  })
})

describe('dead letters', () => {
  const poison: ScriptedSink['behaviour'] = async (events) =>
    events.flatMap(({ id }, index) => (id === '1' ? [{ index, reason: 'no good', retryable: false }] : []))

  test('what can never succeed is one at once, with reason and attempts; the rest goes on', async () => {
    const directory = temporaryDirectory()
    const sink = new ScriptedSink({ maxBatchEvents: 1 })
    sink.behaviour = poison
    const rig = await startDelivery(directory, sink)
    await rig.log.append([numbered(0, 4)])
    await settled(rig.delivery)
    expect(sink.ids).toEqual(['0', '2', '3'])
    expect([
      rig.delivery.settled.delivered,
      rig.delivery.settled.deadLettered,
      rig.delivery.deadLettersPending,
    ]).toEqual([3, 1, 1])
    const [letter] = await pendingLetters(directory, 10)
    expect(letter).toMatchObject({ offset: 1, attempts: 1, reason: 'no good', event: { id: '1', data: 1 } })
    await rig.close()
  })

  test('a failing handler: tried as often as configured, then a dead letter with the stack, in order per key', async () => {
    const directory = temporaryDirectory()
    let tried = 0
    const throws: Handler = (event) => {
      if (event.id !== '0') return event
      tried += 1
      throw new Error('handler broke')
    }
    const sink = new ScriptedSink()
    const rig = await startDelivery(directory, sink, { handlers: [throws] })
    await rig.log.append([numbered(0, 6, 2)])
    await settled(rig.delivery)
    expect(tried).toBe(QUICK.maxAttempts)
    expect(firstTaken(sink.taken)).toEqual(
      new Map([
        ['k1', [1, 3, 5]],
        ['k0', [2, 4]],
      ]),
    )
    const [letter] = await pendingLetters(directory, 10)
    expect(letter).toMatchObject({
      attempts: QUICK.maxAttempts,
      reason: expect.stringMatching(/Error: handler broke\n +at /),
    })
    await rig.close()
  })

  test('a sink that cannot be used spends no attempts, whatever it takes', async () => {
    const sink = new ScriptedSink()
    let downs = 20
    sink.behaviour = async () => {
      if (downs-- > 0) throw new SinkUnavailable('down', { retryAfterMs: 1 })
      return undefined
    }
    const rig = await startDelivery(temporaryDirectory(), sink)
    await rig.log.append([numbered(0, 10)])
    await until(() => rig.delivery.failing, 1000, 'failing')
    await settled(rig.delivery)
    expect([sink.ids.length, rig.delivery.settled.deadLettered, rig.delivery.failing]).toEqual([10, 0, false])
    expect(rig.warnings).toEqual([
      expect.stringMatching(/fails, its events wait in the log: down/),
      expect.stringMatching(/works again/),
    ])
    await rig.close()
  })

  test('a full log of dead letters stops its sink, and loses nothing', async () => {
    const directory = temporaryDirectory()
    const sink = new ScriptedSink({ maxBatchEvents: 1 })
    sink.behaviour = async () => [{ index: 0, reason: 'x'.repeat(20_000), retryable: false }]
    const rig = await startDelivery(directory, sink, { deadLetterMaxBytes: 100_000 })
    await rig.log.append([numbered(0, 20)])
    await until(() => rig.delivery.failing, 2000, 'failing')
    expect(rig.delivery.lagEvents).toBeGreaterThan(10)
    expect(rig.delivery.failure).toMatch(/the log holds/)
    await rig.close(0)
    const healed = new ScriptedSink()
    const again = await startDelivery(directory, healed, { deadLetterMaxBytes: 100_000 })
    await settled(again.delivery)
    const letters = await pendingLetters(directory, 100)
    expect(new Set([...healed.ids, ...letters.map(({ event }) => event.id)]).size).toBe(20)
    await again.close()
  })

  test('a stop does not wait for a sink that cannot make durable what a replay has given it', async () => {
    const sink = new ScriptedSink()
    sink.behaviour = async (events) => events.map((_, index) => ({ index, reason: 'never', retryable: false }))
    const rig = await startDelivery(temporaryDirectory(), sink)
    await rig.log.append([numbered(0, 4)])
    await until(() => rig.delivery.deadLettersPending === 4, 2000, 'all are dead letters')
    await settled(rig.delivery)
    sink.behaviour = async () => undefined
    let flushing = false
    sink.flush = () => {
      flushing = true
      return new Promise(() => undefined)
    }
    const replay = rig.delivery.replay()
    await until(() => flushing, 2000, 'the replay waits for the sink')
    expect(await rig.close(100)).toBe(true)
    expect(await replay).toEqual({ letters: 0, failedAgain: 0 })
  })

  test('the reason of one is cut: a handler may throw all of its event', async () => {
    const directory = temporaryDirectory()
    const throws: Handler = (event) => {
      throw new Error(JSON.stringify(event).repeat(1000))
    }
    const rig = await startDelivery(directory, new ScriptedSink(), { handlers: [throws] })
    await rig.log.append([numbered(0, 1)])
    await settled(rig.delivery)
    const [letter] = await pendingLetters(directory, 10)
    expect(letter).toMatchObject({ reason: expect.stringMatching(/^Error: /) })
    expect(letter?.reason).toHaveLength(8192)
    await rig.close()
  })

  test('while their log is full, what the sink has taken is not sent again', async () => {
    const sink = new ScriptedSink({ maxBatchEvents: 10 })
    let calls = 0
    sink.behaviour = async (events) => {
      calls += 1
      return events.flatMap(({ id }, index) =>
        id === '3' ? [{ index, reason: 'x'.repeat(200_000), retryable: false }] : [],
      )
    }
    const rig = await startDelivery(temporaryDirectory(), sink, { deadLetterMaxBytes: 4000 })
    await rig.log.append([numbered(0, 10)])
    await until(() => calls > 5, 5000, 'tried again and again')
    expect(sink.ids).toEqual(['0', '1', '2', '4', '5', '6', '7', '8', '9'])
    await rig.close(0)
  })

  test('a replay delivers them; what fails again waits for the next one', async () => {
    const directory = temporaryDirectory()
    const sink = new ScriptedSink({ maxBatchEvents: 1 })
    sink.behaviour = async () => [{ index: 0, reason: 'broken', retryable: false }]
    const rig = await startDelivery(directory, sink)
    await rig.log.append([numbered(0, 5)])
    await settled(rig.delivery)
    expect(rig.delivery.deadLettersPending).toBe(5)

    sink.behaviour = poison
    const [first, second] = await Promise.all([rig.delivery.replay(), rig.delivery.replay()])
    expect([first, second]).toEqual([{ letters: 5, failedAgain: 1 }, undefined])
    expect(new Set(sink.ids)).toEqual(new Set(['0', '2', '3', '4']))
    expect([rig.delivery.deadLettersPending, rig.delivery.replayedTotal, rig.delivery.settled.deadLettered]).toEqual([
      1, 4, 5,
    ])
    await rig.close()

    const again = await startDelivery(directory, new ScriptedSink())
    expect(again.delivery.deadLettersPending).toBe(1)
    expect(await again.delivery.replay()).toEqual({ letters: 1, failedAgain: 0 })
    expect(again.delivery.deadLettersPending).toBe(0)
    expect(await again.delivery.replay()).toEqual({ letters: 0, failedAgain: 0 })
    await again.close()
  })
})

test('a damaged dead letter does not keep the others from being listed and replayed', async () => {
  const directory = temporaryDirectory()
  const refusing = new ScriptedSink()
  refusing.behaviour = async (events) => events.map((_, index) => ({ index, reason: 'no', retryable: false }))
  const rig = await startDelivery(directory, refusing)
  for (const id of [0, 1, 2]) {
    await rig.log.append([numbered(id, id + 1)])
    await settled(rig.delivery)
  }
  await rig.close()
  const dead = join(directory, 'dead/scripted')
  const segment = join(dead, readdirSync(dead).find((name) => name.endsWith('.seg')) ?? 'no segment')
  const bytes = readFileSync(segment)
  const inside = bytes.indexOf('"id":"1"')
  expect(inside).toBeGreaterThan(0)
  bytes[inside] = (bytes[inside] ?? 0) ^ 1
  writeFileSync(segment, bytes)
  const sink = new ScriptedSink()
  const again = await startDelivery(directory, sink)
  expect((await again.delivery.deadLetters(10)).map(({ event }) => event.id)).toEqual(['0', '2'])
  expect(await again.delivery.replay()).toEqual({ letters: 2, failedAgain: 0 })
  expect([sink.ids, again.delivery.deadLettersPending]).toEqual([['0', '2'], 0])
  await again.close()
})

test('a last dead letter that is damaged while the service runs ends neither the list nor replays', async () => {
  const directory = temporaryDirectory()
  const sink = new ScriptedSink()
  sink.behaviour = async (events) => events.map((_, index) => ({ index, reason: 'no', retryable: false }))
  const rig = await startDelivery(directory, sink)
  for (const id of [0, 1, 2]) {
    await rig.log.append([numbered(id, id + 1)])
    await settled(rig.delivery)
  }
  const dead = join(directory, 'dead/scripted')
  const segment = join(dead, readdirSync(dead).find((name) => name.endsWith('.seg')) ?? 'no segment')
  const file = await open(segment, 'r+')
  const inside = readFileSync(segment).indexOf('"id":"2"')
  expect(inside).toBeGreaterThan(0)
  await file.write('9', inside + 6)
  await file.close()
  sink.behaviour = async () => undefined
  expect((await rig.delivery.deadLetters(10)).map(({ event }) => event.id)).toEqual(['0', '1'])
  expect(await rig.delivery.replay()).toEqual({ letters: 2, failedAgain: 0 })
  expect(await rig.delivery.replay()).toEqual({ letters: 0, failedAgain: 0 })
  expect([sink.ids, rig.delivery.deadLettersPending]).toEqual([['0', '1'], 0])
  await rig.close()
})

test('replays leave no listener behind', async () => {
  const added = vi.spyOn(AbortSignal.prototype, 'addEventListener')
  const removed = vi.spyOn(AbortSignal.prototype, 'removeEventListener')
  onTestFinished(() => {
    added.mockRestore()
    removed.mockRestore()
  })
  const sink = new ScriptedSink()
  let refuses = true
  sink.behaviour = async (events) =>
    refuses ? events.map((_, index) => ({ index, reason: 'no', retryable: false })) : undefined
  const rig = await startDelivery(temporaryDirectory(), sink)
  await rig.log.append([numbered(0, 2)])
  await settled(rig.delivery)
  await rig.delivery.replay()
  const [addedBefore, removedBefore] = [added.mock.calls.length, removed.mock.calls.length]
  for (let at = 0; at < 20; at++) expect(await rig.delivery.replay()).toEqual({ letters: 2, failedAgain: 2 })
  const left = added.mock.calls.length - addedBefore - (removed.mock.calls.length - removedBefore)
  expect(left).toBeLessThan(5)
  refuses = false
  expect(await rig.delivery.replay()).toEqual({ letters: 2, failedAgain: 0 })
  await rig.close()
})

test('an attempt counts as delivered only when something was', async () => {
  const sink = new ScriptedSink()
  sink.behaviour = async (events) => events.map((_, index) => ({ index, reason: '410', retryable: false }))
  const rig = await startDelivery(temporaryDirectory(), sink)
  await rig.log.append([numbered(0, 1)])
  await settled(rig.delivery)
  expect([...rig.delivery.attempts]).toEqual([['dead_lettered', 1]])
  sink.behaviour = async () => [{ index: 0, reason: '410', retryable: false }]
  await rig.log.append([numbered(1, 3)])
  await settled(rig.delivery)
  expect(Object.fromEntries(rig.delivery.attempts)).toEqual({ dead_lettered: 2, delivered: 1 })
  await rig.close()
})

describe('handlers', () => {
  test('one event can become several, none, or another; several handlers run in order', async () => {
    const several: Handler = (event) => (event.id === '0' ? [event, { ...event, id: '0b' }] : event)
    const drop: Handler = async (event) => (event.id === '1' ? undefined : event)
    const mark: Handler = (event) => ({ ...event, marked: true })
    const sink = new ScriptedSink()
    const rig = await startDelivery(temporaryDirectory(), sink, { handlers: [several, drop, mark] })
    await rig.log.append([numbered(0, 3)])
    await settled(rig.delivery)
    expect(sink.ids).toEqual(['0', '0b', '2'])
    expect(sink.taken.every(({ marked }) => marked === true)).toBe(true)
    expect(rig.delivery.settled.delivered).toBe(3)
    await rig.close()
  })

  test('one that returns what JSON cannot hold: its event is a dead letter, the sink is not asked', async () => {
    const circular: { self?: object } = {}
    circular.self = circular
    const odd: Handler = (event) =>
      event.id === '1' ? { ...event, data: 1n } : event.id === '2' ? { ...event, data: circular } : { ...event }
    const sink = new ScriptedSink()
    const rig = await startDelivery(temporaryDirectory(), sink, { handlers: [odd] })
    await rig.log.append([numbered(0, 4)])
    await settled(rig.delivery)
    expect(sink.ids).toEqual(['0', '3'])
    expect((await rig.delivery.deadLetters(10)).map(({ event, reason }) => [event.id, reason])).toEqual([
      ['1', expect.stringMatching(/a handler returned what JSON cannot hold: .*BigInt/)],
      ['2', expect.stringMatching(/circular/)],
    ])
    await rig.close()
  })

  test('one that hangs for an event: tried again, then a dead letter; the others go on', async () => {
    const signals: AbortSignal[] = []
    const hangs: Handler = (event, { signal }) => {
      if (event.id !== '4') return event
      signals.push(signal)
      return new Promise(() => undefined)
    }
    const sink = new ScriptedSink()
    const options = { handlers: [hangs], handlerTimeoutMs: 20 }
    const rig = await startDelivery(temporaryDirectory(), sink, options)
    await rig.log.append([numbered(0, 9, 9)])
    await settled(rig.delivery)
    expect(sink.ids.map(Number).toSorted()).toEqual([0, 1, 2, 3, 5, 6, 7, 8])
    expect(await rig.delivery.deadLetters(10)).toMatchObject([
      { event: { id: '4' }, attempts: 3, reason: expect.stringMatching(/handler hangs took longer than 20 ms/) },
    ])
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true])
    await rig.close()
  })

  test('one that hangs does not keep the process from stopping: its event is for the next start', async () => {
    const directory = temporaryDirectory()
    const hangs: Handler = () => new Promise(() => undefined)
    const rig = await startDelivery(directory, new ScriptedSink(), { handlers: [hangs] })
    await rig.log.append([numbered(0, 3)])
    await new Promise((resolve) => setTimeout(resolve, 50))
    const startedAt = performance.now()
    expect(await rig.close(100)).toBe(false)
    expect(performance.now() - startedAt).toBeLessThan(2000)
    const sink = new ScriptedSink()
    const again = await startDelivery(directory, sink)
    await settled(again.delivery)
    expect(sink.taken).toHaveLength(3)
    await again.close()
  })

  test('something that is no event is a failure of that handler', async () => {
    const directory = temporaryDirectory()
    const rig = await startDelivery(directory, new ScriptedSink(), {
      handlers: [() => ({ nonsense: {} }) as unknown as Event],
    })
    await rig.log.append([numbered(0, 1)])
    await settled(rig.delivery)
    const [letter] = await pendingLetters(directory, 1)
    expect(letter).toMatchObject({ reason: expect.stringMatching(/returned something that is not an event/) })
    await rig.close()
  })

  test('several run at once, never two with the same key', async () => {
    const running = new Map<string, number>()
    let most = 0
    const slow: Handler = async (event) => {
      const key = event.subject ?? ''
      running.set(key, (running.get(key) ?? 0) + 1)
      expect(running.get(key)).toBe(1)
      most = Math.max(
        most,
        [...running.values()].reduce((sum, count) => sum + count, 0),
      )
      await new Promise((resolve) => setTimeout(resolve, 2))
      running.set(key, (running.get(key) ?? 0) - 1)
      return event
    }
    const sink = new ScriptedSink()
    const rig = await startDelivery(temporaryDirectory(), sink, { handlers: [slow] })
    await rig.log.append([numbered(0, 40, 8)])
    await settled(rig.delivery)
    expect(most).toBe(4) // the concurrency of the rig
    expect(rig.delivery.settled.deadLettered).toBe(0)
    expectOrdered(sink.taken)
    await rig.close()
  })
})

describe('several sinks and stopping', () => {
  test('one that is down holds back only itself', async () => {
    const directory = temporaryDirectory()
    const log = await openLog(join(directory, 'log'))
    const [down, up] = [new ScriptedSink({ name: 'down' }), new ScriptedSink({ name: 'up' })]
    down.behaviour = async () => {
      throw new Error('down')
    }
    const rigs = [await startDelivery(directory, down, { log }), await startDelivery(directory, up, { log })]
    await log.append([numbered(0, 100)])
    await until(() => rigs[1]?.delivery.lagEvents === 0, 2000, 'up has all')
    expect(rigs[0]?.delivery.lagEvents).toBe(100)
    expect(rigs[0]?.delivery.lagSeconds).toBeGreaterThan(0)
    expect(rigs[1]?.delivery.lagSeconds).toBe(0)
    down.behaviour = async () => undefined
    await until(() => rigs[0]?.delivery.lagEvents === 0, 2000, 'down has caught up')
    for (const rig of rigs) await rig.close()
    await log.close()
  })

  test('closing delivers what is in the log while the sink works', async () => {
    const sink = new ScriptedSink({ maxBatchEvents: 10 })
    sink.behaviour = () => new Promise((resolve) => setTimeout(resolve, 2, undefined))
    const rig = await startDelivery(temporaryDirectory(), sink)
    await rig.log.append([numbered(0, 200)])
    expect(await rig.close(5000)).toBe(true)
    expect(sink.ids).toHaveLength(200)
  })

  test('closing does not wait for a sink that is down; the next start delivers', async () => {
    const directory = temporaryDirectory()
    const sink = new ScriptedSink()
    sink.behaviour = async () => {
      throw new SinkUnavailable('down', { retryAfterMs: 60_000 })
    }
    const rig = await startDelivery(directory, sink, { retry: { baseMs: 60_000, maxMs: 60_000, maxAttempts: 3 } })
    await rig.log.append([numbered(0, 5000)])
    await until(() => rig.delivery.failing, 1000, 'failing')
    const startedAt = performance.now()
    expect(await rig.close(5000)).toBe(true)
    expect(performance.now() - startedAt).toBeLessThan(1000)

    const healed = new ScriptedSink()
    const again = await startDelivery(directory, healed)
    await settled(again.delivery)
    expect(healed.ids).toHaveLength(5000)
    await again.close()
  })

  test('a sink that hangs past the deadline leaves its events for the next start, and says so', async () => {
    const sink = new ScriptedSink()
    sink.behaviour = () => new Promise((resolve) => setTimeout(resolve, 400, undefined))
    const rig = await startDelivery(temporaryDirectory(), sink)
    await rig.log.append([numbered(0, 1)])
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(await rig.close(50)).toBe(false)
  })
})

test.each([0, -5000, Number.NaN, 1e-9])(
  'a sink that asks to be tried again in %d ms is tried no sooner than it backs off',
  async (retryAfterMs) => {
    const sink = new ScriptedSink()
    let attempts = 0
    sink.behaviour = async () => {
      attempts += 1
      throw new SinkUnavailable('made up', { retryAfterMs })
    }
    const retry = { baseMs: 200, maxMs: 200, maxAttempts: 3 }
    const rig = await startDelivery(temporaryDirectory(), sink, { retry })
    await rig.log.append([numbered(0, 1)])
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(attempts).toBeGreaterThan(1)
    expect(attempts).toBeLessThan(60) // full jitter: 15 on average
    await rig.close(0)
  },
)
