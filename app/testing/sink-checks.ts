/**
 * The contract of a sink (sinks/sink.ts) as checks. Every sink of Millrace passes them; users run them on their own
 * sinks.
 *
 *     import { test } from 'vitest' // or from 'node:test'
 *     import { sinkChecks } from 'millrace/testing'
 *     for (const { name, run } of sinkChecks(sinkUnderTest)) test(name, run)
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Event } from '../event.ts'
import type { Sink } from '../sinks/sink.ts'
import { batchOf } from './batch.ts'
import {
  assertInOrder,
  closeOf,
  confirm,
  deliver,
  POLL_MS,
  retryUntilTaken,
  settledOf,
  until,
  within,
  withoutNull,
  write,
  writeUnlessAway,
} from './sink-calls.ts'

/** A sink and its destination. Each check opens a new one. */
export interface OpenedSink {
  readonly sink: Sink
  /** The events at the destination now; events with the same key in the order of arrival. */
  delivered(): Promise<readonly Event[]>
  /** Opens another sink to the same destination, as after a restart. Absent: not checked. */
  reopen?(): Promise<Sink>
  /** From now on, the destination refuses events with these ids for good. Absent: it never refuses single events. */
  refuse?(ids: readonly string[]): void | Promise<void>
  /** Makes the destination unreachable, or reachable again. Absent: not checked. */
  setAway?(isAway: boolean): void | Promise<void>
  /** From now on, the destination accepts requests but does not answer. Absent: not checked. */
  hang?(): void | Promise<void>
  /** Removes everything that was created for the check. */
  dispose?(): void | Promise<void>
}

export interface SinkUnderTest {
  open(): Promise<OpenedSink>
  /**
   * Whether an event that is written again after a crash exists only once at the destination. Default: false; it may
   * exist twice, with the same `source` and `id`.
   */
  readonly isIdempotent?: boolean
  /** Time limit of calls that should end soon, milliseconds. Default: 10000. */
  readonly withinMs?: number
}

export interface SinkCheck {
  /** The behaviour, such as `the sink takes …`. */
  readonly name: string
  /** Rejects with the expected and the actual value. */
  run(): Promise<void>
}

type Check = (opened: OpenedSink, options: Required<Omit<SinkUnderTest, 'open'>>) => Promise<void>

const WITHIN_MS = 10_000
/** Limit of a full batch in the checks, for sinks that allow very large batches. */
const MAX_FULL_BATCH_EVENTS = 2000
const MAX_LANES = 8

/** Data that is easily lost: white space in strings, other scripts, numbers at their limits, no data, binary data. */
const HARD_DATA: readonly object[] = [
  { data: { text: ' a\tb\n"c" \\ ', nested: [{ deep: [[], {}] }], none: null, yes: true } },
  { data: 'ä€𝄞 日本語 \u200f' },
  { data: -1.5e-7 },
  { data: 0 },
  { data: '' },
  { data: null },
  { data: [] },
  { data_base64: 'AAECA/8=', datacontenttype: 'application/octet-stream' },
  { data: 1, subject: 's/1', tenant: 'x', attempt: 7, isnew: false, dataschema: 'https://example.com/schema#1' },
]

function eventsOf(prefix: string, count: number, key: (index: number) => string = () => 'k'): Event[] {
  return Array.from({ length: count }, (_, index) =>
    complete(`${prefix}-${index}`, { subject: key(index), data: index }),
  )
}

function complete(id: string, parts: object): Event {
  return { specversion: '1.0', id, source: '/checks', type: 'check', time: '2026-01-31T12:00:00Z', ...parts }
}

/** Each check opens its own sink, so they run in any order. A check that needs an absent method of `open` passes. */
export function sinkChecks(subject: SinkUnderTest): SinkCheck[] {
  const { isIdempotent = false, withinMs = WITHIN_MS } = subject
  return Object.entries(CHECKS).map(([name, check]) => ({
    name: `the sink ${name}`,
    run: async () => {
      const opened = await subject.open()
      try {
        await check(opened, { isIdempotent, withinMs })
      } finally {
        await opened.dispose?.()
      }
    },
  }))
}

const CHECKS: Readonly<Record<string, Check>> = {
  'says how many lanes it has and how many events it takes at once': async ({ sink }, { withinMs }) => {
    assert.ok(Number.isSafeInteger(sink.concurrency) && sink.concurrency >= 1, `concurrency is ${sink.concurrency}`)
    assert.ok(
      Number.isSafeInteger(sink.maxBatchEvents) && sink.maxBatchEvents >= 1,
      `maxBatchEvents is ${sink.maxBatchEvents}`,
    )
    await closeOf(sink, withinMs)
  },

  'delivers everything that is in an event': async (opened, { withinMs }) => {
    const events = HARD_DATA.map((parts, index) => complete(`hard-${index}`, parts))
    await deliver(opened.sink, events, withinMs)
    const found = new Map((await opened.delivered()).map((event) => [event.id, event]))
    for (const event of events) {
      const problem = `event ${event.id} is not what was written`
      assert.deepEqual(withoutNull(found.get(event.id)), withoutNull(event), problem)
    }
    await closeOf(opened.sink, withinMs)
  },

  'takes batches as large as it says, and keeps their order': async (opened, { withinMs }) => {
    const events = eventsOf('full', Math.min(opened.sink.maxBatchEvents, MAX_FULL_BATCH_EVENTS))
    await deliver(opened.sink, events, withinMs)
    assertInOrder(await opened.delivered(), events)
    await closeOf(opened.sink, withinMs)
  },

  'keeps the order of a key over several batches': async (opened, { withinMs }) => {
    const events = eventsOf('ordered', 30, (index) => `k${index % 3}`)
    const size = Math.min(7, opened.sink.maxBatchEvents)
    for (let from = 0; from < events.length; from += size) {
      await write(opened.sink, batchOf(events.slice(from, from + size), from))
    }
    await confirm(opened.sink, withinMs)
    assertInOrder(await opened.delivered(), events)
    await closeOf(opened.sink, withinMs)
  },

  'takes a batch from each of its lanes at the same time': async (opened, { withinMs }) => {
    const lanes = Math.min(opened.sink.concurrency, MAX_LANES)
    const size = Math.min(5, opened.sink.maxBatchEvents)
    const batches = Array.from({ length: lanes }, (_, lane) => eventsOf(`lane${lane}`, size, () => `k${lane}`))
    await Promise.all(batches.map((events, lane) => write(opened.sink, batchOf(events, lane * size))))
    await confirm(opened.sink, withinMs)
    assertInOrder(await opened.delivered(), batches.flat())
    await closeOf(opened.sink, withinMs)
  },

  'confirms nothing that is not there': async (opened, { withinMs }) => {
    await confirm(opened.sink, withinMs) // nothing is written yet
    for (const round of [0, 1, 2]) {
      const events = eventsOf(`round${round}`, 3)
      await deliver(opened.sink, events, withinMs, round * events.length)
      assertInOrder(await opened.delivered(), events)
    }
    await closeOf(opened.sink, withinMs)
  },

  'loses nothing that was confirmed when it is closed, and goes on after a restart': async (opened, { withinMs }) => {
    const [before, after] = [eventsOf('before', 5), eventsOf('after', 5)]
    await deliver(opened.sink, before, withinMs)
    await closeOf(opened.sink, withinMs)
    assertInOrder(await opened.delivered(), before)
    const next = await opened.reopen?.()
    if (next === undefined) return
    await deliver(next, after, withinMs, before.length)
    assertInOrder(await opened.delivered(), [...before, ...after])
    await closeOf(next, withinMs)
  },

  'takes events again that it had, as after a crash': async (opened, { withinMs, isIdempotent }) => {
    const events = eventsOf('again', 5)
    await deliver(opened.sink, events, withinMs)
    await deliver(opened.sink, events, withinMs)
    const delivered = await opened.delivered()
    assertInOrder(delivered, events)
    if (isIdempotent) assert.equal(delivered.length, events.length, 'events that were written twice are there twice')
    await closeOf(opened.sink, withinMs)
  },

  'names the events that are refused for good, and delivers the others of their batch': async (
    opened,
    { withinMs },
  ) => {
    if (opened.refuse === undefined) return
    const events = eventsOf('mixed', Math.min(5, opened.sink.maxBatchEvents), (index) => `k${index}`)
    const refusedIds = events.filter((_, index) => index % 2 === 0).map(({ id }) => id)
    await opened.refuse(refusedIds)
    const named: string[] = []
    opened.sink.onRefused = async (refused) => {
      for (const { item, reason } of refused) {
        assert.notEqual(reason, '', 'a refusal needs a reason: it is what an operator reads of a dead letter')
        named.push(item.id)
      }
    }
    const failures = await write(opened.sink, batchOf(events))
    for (const { index, retryable } of failures) {
      assert.equal(retryable, false, `the failure of event ${index} says that a retry helps`)
      named.push(events[index]?.id ?? '')
    }
    await confirm(opened.sink, withinMs)
    assert.deepEqual(named.sort(), refusedIds.sort(), 'the events named as refused are not those that were')
    assertInOrder(
      await opened.delivered(),
      events.filter(({ id }) => !refusedIds.includes(id)),
    )
    await closeOf(opened.sink, withinMs)
  },

  'gives no event up while its place is away, and delivers them afterwards': async (opened, { withinMs }) => {
    if (opened.setAway === undefined) return
    const { sink } = opened
    const events = eventsOf('away', Math.min(5, sink.maxBatchEvents))
    await opened.setAway(true)
    const batch = batchOf(events)
    const failures = await writeUnlessAway(sink, batch, withinMs)
    if (failures !== undefined) {
      const givenUp = failures.filter(({ retryable }) => !retryable)
      assert.deepEqual(givenUp, [], 'events are given up because their place is away')
      if (failures.length === 0) {
        assert.ok(sink.durable, 'events count as delivered while their place is away')
        await until(() => sink.failure !== undefined, withinMs, 'failure never says that the place is away')
      }
    }
    await opened.setAway(false)
    await retryUntilTaken(sink, batch.items, withinMs)
    await confirm(sink, withinMs)
    assertInOrder(await opened.delivered(), events)
    assert.equal(sink.failure, undefined, 'failure stays after the place is back')
    await closeOf(sink, withinMs)
  },

  'ends a write when its signal is aborted, and closes, whatever its place does': async (opened, { withinMs }) => {
    if (opened.hang === undefined) return
    await opened.hang()
    const stop = new AbortController()
    const writing = settledOf(opened.sink.write(batchOf(eventsOf('hanging', 1)), stop.signal))
    await sleep(POLL_MS)
    stop.abort()
    const outcome = await within(writing, withinMs, 'write goes on after its signal was aborted')
    if (outcome === 'resolved') assert.ok(opened.sink.durable, 'write says that a place took what it never answered')
    await closeOf(opened.sink, withinMs)
  },

  'closes without having written anything': async ({ sink }, { withinMs }) => closeOf(sink, withinMs),
}
