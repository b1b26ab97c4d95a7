/** Random programs against the queue, with and without a store that fails now and then. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { eventsOf, halves } from '../../app/client/lines.ts'
import { type Part, Queue } from '../../app/client/queue.ts'
import type { Body, Store } from '../../app/client/store.ts'
import { effort } from '../support/effort.ts'

const MAX_EVENTS = 12
const MAX_BYTES = 600
const MAX_BATCH_EVENTS = 4
const MAX_BATCH_BYTES = 200

/** In memory, so that a program is quick; that of the disk is tested in spool.test.ts. */
class MapStore implements Store<number> {
  readonly batches = new Map<number, Body>()
  isBroken = false
  #next = 0

  async load() {
    return [...this.batches].map(([key, body]) => ({ key, events: eventsOf(body).length, bytes: body.length }))
  }

  async add(body: Body): Promise<number> {
    if (this.isBroken) throw new Error('no room')
    this.#next += 1
    this.batches.set(this.#next, body)
    return this.#next
  }

  async read(key: number): Promise<Body> {
    const body = this.batches.get(key)
    if (body === undefined) throw new Error(`no batch ${key}`)
    return body
  }

  async remove(key: number): Promise<void> {
    this.batches.delete(key)
  }

  async close(): Promise<void> {}
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('add' as const), length: fc.integer({ min: 0, max: 260 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('take' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('settle', 'putBack', 'divide', 'keepOne') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('seal', 'turn', 'breakStore', 'fixStore') }) },
)
type Step = { readonly kind: string; readonly length?: number }

/** The queue as it should be: numbers of the events that are in it. */
class Program {
  readonly store: MapStore | undefined
  readonly queue: Queue
  readonly held: Part[] = []
  readonly inside = new Set<number>()
  readonly sizes = new Map<number, number>()
  next = 0

  constructor(hasStore: boolean) {
    this.store = hasStore ? new MapStore() : undefined
    this.queue = new Queue({
      maxEvents: MAX_EVENTS,
      maxBytes: MAX_BYTES,
      maxBatchEvents: MAX_BATCH_EVENTS,
      maxBatchBytes: MAX_BATCH_BYTES,
      maxBatchAgeMs: 3_600_000,
      store: this.store,
      onReady: () => undefined,
      onStoreFailure: () => undefined,
    })
  }

  async run({ kind, length = 0 }: Step): Promise<void> {
    if (kind === 'add') this.add(length)
    else if (kind === 'take') await this.take()
    else if (kind === 'seal') this.queue.sealPage()
    else if (kind === 'turn') await turn()
    else if (kind === 'breakStore' || kind === 'fixStore') {
      if (this.store) this.store.isBroken = kind === 'breakStore'
    } else await this.answer(kind)
    this.check()
  }

  add(length: number): void {
    const number = this.next++
    const line = JSON.stringify({ n: number, data: 'x'.repeat(length) })
    const size = line.length + 1
    const { memoryBytes } = this.queue
    const outcome = this.queue.add(line)
    if (outcome === 'queued') {
      this.inside.add(number)
      this.sizes.set(number, size)
    } else if (!this.store) {
      // It says no only when there is no room.
      expect(this.inside.size === MAX_EVENTS || memoryBytes + size > MAX_BYTES, outcome).toBe(true)
    }
  }

  async take(): Promise<void> {
    const part = this.queue.take()
    if (part === undefined) return
    await this.queue.bodyOf(part)
    expect(part.bytes <= MAX_BATCH_BYTES || part.events === 1).toBe(true)
    expect(part.events).toBeLessThanOrEqual(MAX_BATCH_EVENTS)
    this.held.push(part)
  }

  async answer(kind: string): Promise<void> {
    const part = this.held.shift()
    if (part === undefined) return
    const body = await this.queue.bodyOf(part)
    if (kind === 'putBack') return this.queue.putBack(part)
    if (kind === 'settle' || part.events === 1) {
      for (const number of numbersIn(body)) this.inside.delete(number)
      return this.queue.settle(part)
    }
    const parts = halves(body).map((half) => ({ body: half, events: numbersIn(half).length }))
    expect(parts.flatMap((half) => numbersIn(half.body))).toEqual(numbersIn(body))
    if (kind === 'divide') return this.queue.replace(part, parts)
    for (const number of numbersIn(parts[0]?.body ?? body)) this.inside.delete(number)
    this.queue.replace(part, parts.slice(1))
  }

  check(): void {
    const { events, bytes, memoryBytes } = this.queue
    expect(memoryBytes).toBeLessThanOrEqual(MAX_BYTES)
    expect(events).toBe(this.inside.size)
    expect(bytes).toBe([...this.inside].reduce((sum, number) => sum + (this.sizes.get(number) ?? 0), 0))
    if (!this.store) expect(events).toBeLessThanOrEqual(MAX_EVENTS)
  }

  /** Everything that is in it comes out once, in the order in which it went in, apart from what was taken before. */
  async drain(): Promise<void> {
    for (const part of this.held.splice(0).reverse()) this.queue.putBack(part)
    let isFlushed = false
    const flushed = this.queue.flush().then(() => {
      isFlushed = true
    })
    const out: number[] = []
    for (let part = this.queue.take(); part !== undefined; part = this.queue.take()) {
      expect(isFlushed).toBe(false)
      out.push(...numbersIn(await this.queue.bodyOf(part)))
      this.queue.settle(part)
      await turn()
    }
    expect(out.toSorted((a, b) => a - b)).toEqual([...this.inside])
    this.inside.clear()
    await flushed
    this.check()
    expect(await this.queue.close()).toEqual([])
    expect(this.store?.batches.size ?? 0).toBe(0)
  }
}

const numbersIn = (body: Body) => eventsOf(body).map((event) => (event as { n: number }).n)

test('whatever happens, the queue holds each event once, within its bounds, and empties its store', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.boolean(), async (steps, hasStore) => {
      const program = new Program(hasStore)
      for (const one of steps) await program.run(one)
      await program.drain()
    }),
    effort(150, 0.25),
  )
}, 120_000)

test('the rest of a batch that the store has stays what it is when it is put back', async () => {
  const { queue } = new Program(true)
  for (const n of [0, 1, 2, 3]) queue.add(JSON.stringify({ n }))
  await turn()
  const whole = queue.take()
  if (whole === undefined) throw new Error('nothing to take')
  const rest = halves(await queue.bodyOf(whole)).slice(1)
  queue.replace(
    whole,
    rest.map((body) => ({ body, events: 2 })),
  )
  const part = queue.take()
  if (part === undefined) throw new Error('nothing to take')
  queue.putBack(part)
  expect(numbersIn(await queue.bodyOf(part))).toEqual([2, 3])
})

test('without answers in between, events leave in the order in which they came', async () => {
  const { queue } = new Program(false)
  for (const n of [0, 1, 2, 3, 4, 5, 6]) queue.add(JSON.stringify({ n }))
  queue.sealPage()
  const [first, second] = [queue.take(), queue.take()]
  expect([first, second].map((part) => part?.body && numbersIn(part.body))).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6],
  ])
  if (second) queue.putBack(second)
  if (first)
    queue.replace(
      first,
      halves(await queue.bodyOf(first)).map((body) => ({ body, events: 2 })),
    )
  const bodies = [queue.take(), queue.take(), queue.take()].map((part) => part?.body && numbersIn(part.body))
  expect(bodies).toEqual([
    [0, 1],
    [2, 3],
    [4, 5, 6],
  ])
})

test('what the store has taken leaves memory, and makes room', async () => {
  const { queue, store } = new Program(true)
  const line = JSON.stringify({ n: 1, data: 'x'.repeat(100) })
  for (let at = 0; at < 200; at++) {
    expect(queue.add(line)).toBe('queued')
    await turn()
  }
  expect(queue.memoryBytes).toBeLessThanOrEqual(MAX_BATCH_BYTES)
  expect(queue.events).toBe(200)
  if (store) store.isBroken = true
  const outcomes = Array.from({ length: 20 }, () => queue.add(line))
  expect(outcomes.filter((outcome) => outcome === 'queued').length).toBeLessThan(MAX_EVENTS)
})
