/** Calls a sink for the checks of sink-checks.ts, in the same way as delivery, with a time limit for every wait. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Event } from '../event.ts'
import { SinkBatch } from '../sinks/batch.ts'
import type { Failure, Item, Sink } from '../sinks/sink.ts'
import { batchOf } from './batch.ts'

export const POLL_MS = 20

/** Removes `data: null`, because a database column cannot distinguish it from no data. */
export function withoutNull(event: Event | undefined): object | undefined {
  if (event?.data !== null) return event
  const { data: _, ...rest } = event
  return rest
}

export async function deliver(sink: Sink, events: readonly Event[], withinMs: number, firstOffset = 0): Promise<void> {
  for (let from = 0; from < events.length; from += sink.maxBatchEvents) {
    const batch = batchOf(events.slice(from, from + sink.maxBatchEvents), firstOffset + from)
    const failures = await within(write(sink, batch), withinMs, 'write does not end')
    assert.deepEqual(failures, [], 'events are refused that the place would take')
  }
  await confirm(sink, withinMs)
}

/** Writes, and checks the failures that the sink returns. */
export async function write(sink: Sink, batch: SinkBatch): Promise<readonly Failure[]> {
  const failures = (await sink.write(batch, new AbortController().signal)) ?? []
  const seen = new Set<number>()
  for (const { index, reason, retryable } of failures) {
    const isPlace = Number.isSafeInteger(index) && index >= 0 && index < batch.length
    assert.ok(isPlace, `a failure has the index ${index} in a batch of ${batch.length}`)
    assert.ok(!seen.has(index), `event ${index} has two failures`)
    assert.ok(typeof reason === 'string' && reason !== '', `the failure of event ${index} has no reason`)
    assert.equal(typeof retryable, 'boolean', `the failure of event ${index} does not say whether it is retryable`)
    seen.add(index)
  }
  return failures
}

/** @returns undefined when the sink said that it is unavailable. */
export async function writeUnlessAway(
  sink: Sink,
  batch: SinkBatch,
  withinMs: number,
): Promise<readonly Failure[] | undefined> {
  try {
    return await within(write(sink, batch), withinMs, 'write does not end while the place is away')
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
    assert.ok(error instanceof Error && error.message !== '', 'a sink that is unavailable gives no reason')
    return undefined
  }
}

/** Retries failed events, as delivery does. */
export async function retryUntilTaken(sink: Sink, items: readonly Item[], withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs
  for (let left = items; left.length > 0; ) {
    assert.ok(performance.now() < deadline, `${left.length} events are not taken after their place is back`)
    const failures = await writeUnlessAway(sink, SinkBatch.of(left), withinMs)
    if (failures !== undefined) left = left.filter((_, index) => failures.some((failure) => failure.index === index))
    if (left.length > 0) await sleep(POLL_MS)
  }
}

/** Waits as delivery does before it commits an offset. */
export async function confirm(sink: Sink, withinMs: number): Promise<void> {
  const durable = sink.durable?.()
  await within(sink.flush?.() ?? Promise.resolve(), withinMs, 'flush does not end')
  if (durable !== undefined) await within(durable, withinMs, 'durable does not resolve')
}

export async function closeOf(sink: Sink, withinMs: number): Promise<void> {
  await within(sink.close(), withinMs, 'close does not end')
}

/** Asserts that each event was delivered, in order per key. Only the first occurrence counts: repeats may follow. */
export function assertInOrder(delivered: readonly Event[], expected: readonly Event[]): void {
  const wanted = new Map(expected.map((event) => [event.id, event]))
  const firstOf = new Map<string, Event>()
  for (const event of delivered) {
    if (wanted.has(event.id) && !firstOf.has(event.id)) firstOf.set(event.id, event)
  }
  const missing = [...wanted.keys()].filter((id) => !firstOf.has(id))
  assert.deepEqual(missing, [], 'events that were confirmed are not there')
  const inOrder = (events: Iterable<Event>) => {
    const groups = Object.groupBy(events, ({ subject = '' }) => subject)
    return new Map(Object.entries(groups).map(([key, group = []]) => [key, group.map(({ id }) => id)]))
  }
  const [found, written] = [inOrder(firstOf.values()), inOrder(expected)]
  for (const [key, ids] of written) assert.deepEqual(found.get(key), ids, `events of the key ${key} are out of order`)
}

export async function settledOf(promise: Promise<unknown>): Promise<'resolved' | 'rejected'> {
  return promise.then(
    () => 'resolved',
    () => 'rejected',
  )
}

export async function within<T>(promise: Promise<T>, ms: number, problem: string): Promise<T> {
  const limit = new AbortController()
  const late = sleep(ms, undefined, { signal: limit.signal }).then(() => assert.fail(`${problem} within ${ms} ms`))
  late.catch(() => undefined) // it rejects when the promise was first and aborts it
  try {
    return await Promise.race([promise, late])
  } finally {
    limit.abort()
  }
}

export async function until(condition: () => boolean, ms: number, problem: string): Promise<void> {
  const deadline = performance.now() + ms
  while (!condition()) {
    assert.ok(performance.now() < deadline, `${problem} within ${ms} ms`)
    await sleep(POLL_MS)
  }
}
