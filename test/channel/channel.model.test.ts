/**
 * The channel against what is obviously right: random programs against a plain model, fast-check's scheduler over
 * concurrent actors, and every interleaving of small programs.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { channel, type Permit, type Receiver, type Sender } from '../../app/channel/channel.ts'

interface Item {
  id: number
  slots: number
  bytes: number
}

const CAPACITY = 4
const MAX_BYTES = 10
const options = { slots: (item: Item) => item.slots, bytes: (item: Item) => item.bytes, maxBytes: MAX_BYTES }

/** Lets everything run that can. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await Promise.resolve()
}

interface Waiting {
  item: Item
  abort: AbortController
  outcome: 'waiting' | 'sent' | 'aborted' | 'closed'
}

/** One line a rule: this is the specification. */
class Model {
  queue: Item[] = []
  waiting: Waiting[] = []
  reserved: { slots: number; bytes: number }[] = []
  closed = false

  get usedSlots(): number {
    return [...this.queue, ...this.reserved].reduce((sum, { slots }) => sum + slots, 0)
  }
  get usedBytes(): number {
    return [...this.queue, ...this.reserved].reduce((sum, { bytes }) => sum + bytes, 0)
  }
  fits({ slots, bytes }: { slots: number; bytes: number }): boolean {
    return this.usedSlots + slots <= CAPACITY && this.usedBytes + bytes <= MAX_BYTES
  }
  trySend(item: Item): string {
    if (this.closed) return 'closed'
    if (this.waiting.length > 0 || !this.fits(item)) return 'full'
    this.queue.push(item)
    return 'sent'
  }
  grant(): void {
    for (let head = this.waiting[0]; head && this.fits(head.item); head = this.waiting[0]) {
      head.outcome = 'sent'
      this.queue.push(head.item)
      this.waiting.shift()
    }
  }
  take(max: number, maxBytes: number): Item[] {
    const taken: Item[] = []
    while (this.queue[0] && taken.length < max) {
      const bytes = taken.reduce((sum, item) => sum + item.bytes, 0) + this.queue[0].bytes
      if (taken.length > 0 && bytes > maxBytes) break
      taken.push(this.queue.shift() as Item)
    }
    this.grant()
    return taken
  }
}

const size = fc.record({ slots: fc.integer({ min: 1, max: CAPACITY }), bytes: fc.integer({ min: 0, max: MAX_BYTES }) })
const command = fc.oneof(
  { weight: 4, arbitrary: size.map((cost) => ({ kind: 'trySend' as const, ...cost })) },
  { weight: 4, arbitrary: size.map((cost) => ({ kind: 'send' as const, ...cost })) },
  { weight: 2, arbitrary: fc.nat(9).map((at) => ({ kind: 'abort' as const, at })) },
  { weight: 2, arbitrary: size.map((cost) => ({ kind: 'reserve' as const, ...cost })) },
  { weight: 2, arbitrary: fc.nat(9).map((at) => ({ kind: 'permitSend' as const, at })) },
  { weight: 2, arbitrary: fc.nat(9).map((at) => ({ kind: 'release' as const, at })) },
  { weight: 3, arbitrary: fc.constant({ kind: 'tryRecv' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('recvMany' as const),
      max: fc.integer({ min: 1, max: 5 }),
      maxBytes: fc.nat(MAX_BYTES),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'close' as const }) },
)

test('property: any program does what the plain model says, and never exceeds a bound', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (commands) => {
      const { sender, receiver } = channel<Item>(CAPACITY, options)
      const model = new Model()
      const real = new Map<Waiting, string>()
      const permits: { permit: Permit<Item>; cost: { slots: number; bytes: number } }[] = []
      let next = 0
      for (const step of commands) {
        switch (step.kind) {
          case 'trySend': {
            const item = { id: next++, slots: step.slots, bytes: step.bytes }
            expect(sender.trySend(item)).toBe(model.trySend(item))
            break
          }
          case 'send': {
            const waiting: Waiting = {
              item: { id: next++, slots: step.slots, bytes: step.bytes },
              abort: new AbortController(),
              outcome: 'waiting',
            }
            real.set(waiting, 'waiting')
            sender.send(waiting.item, { signal: waiting.abort.signal }).then(
              () => real.set(waiting, 'sent'),
              (error) => real.set(waiting, error.code === 'CHANNEL_CLOSED' ? 'closed' : 'aborted'),
            )
            if (model.closed) waiting.outcome = 'closed'
            else if (model.trySend(waiting.item) === 'sent') waiting.outcome = 'sent'
            else model.waiting.push(waiting)
            break
          }
          case 'abort': {
            const [waiting] = model.waiting.splice(step.at, 1)
            if (waiting === undefined) break
            waiting.outcome = 'aborted'
            waiting.abort.abort()
            model.grant()
            break
          }
          case 'reserve': {
            const permit = sender.tryReserve(step.slots, { bytes: step.bytes })
            const expected = model.closed ? 'closed' : model.waiting.length > 0 || !model.fits(step) ? 'full' : 'permit'
            expect(typeof permit === 'string' ? permit : 'permit').toBe(expected)
            if (typeof permit === 'string') break
            const cost = { slots: step.slots, bytes: step.bytes }
            model.reserved.push(cost)
            permits.push({ permit, cost })
            break
          }
          case 'permitSend': {
            const held = permits[step.at]
            if (held === undefined) break
            const item = { id: next++, slots: 1, bytes: Math.min(held.cost.bytes, 3) }
            held.permit.send(item)
            held.cost.slots -= 1
            held.cost.bytes -= item.bytes
            model.queue.push(item)
            if (held.cost.slots > 0) break
            permits.splice(step.at, 1)
            model.reserved.splice(model.reserved.indexOf(held.cost), 1)
            model.grant()
            break
          }
          case 'release': {
            const [held] = permits.splice(step.at, 1)
            if (held === undefined) break
            held.permit.release()
            model.reserved.splice(model.reserved.indexOf(held.cost), 1)
            model.grant()
            break
          }
          case 'tryRecv':
            expect(receiver.tryRecv()).toEqual(model.take(1, MAX_BYTES)[0])
            break
          case 'recvMany': {
            const out: Item[] = []
            receiver.tryRecvMany(out, step.max, { maxBytes: step.maxBytes })
            expect(out).toEqual(model.take(step.max, step.maxBytes))
            break
          }
          case 'close':
            receiver.close()
            model.closed = true
            for (const waiting of model.waiting) waiting.outcome = 'closed'
            model.waiting = []
        }
        await settle()
        for (const [waiting, outcome] of real) expect(outcome).toBe(waiting.outcome)
        expect(sender.capacity).toBe(CAPACITY - model.usedSlots)
        expect(sender.freeBytes).toBe(MAX_BYTES - model.usedBytes)
        expect(sender.capacity).toBeGreaterThanOrEqual(0)
        expect(sender.freeBytes).toBeGreaterThanOrEqual(0)
        expect(receiver.length).toBe(model.queue.length)
        expect(receiver.slots).toBe(model.queue.reduce((sum, { slots }) => sum + slots, 0))
        expect(receiver.bytes).toBe(model.queue.reduce((sum, { bytes }) => sum + bytes, 0))
        expect(receiver.isDrained).toBe(model.closed && model.queue.length === 0 && permits.length === 0)
      }
    }),
    { numRuns: 1500 },
  )
})

// Actors: each does its steps one after the other, the next when the last has settled.

interface World {
  sender: Sender<string>
  receiver: Receiver<string>
  sent: string[]
  refused: string[]
  received: string[]
  ended: boolean
  aborts: Map<string, AbortController>
}
type Step = (world: World) => Promise<void>

const sendStep =
  (value: string): Step =>
  async (world) => {
    const abort = new AbortController()
    world.aborts.set(value, abort)
    await world.sender.send(value, { signal: abort.signal }).then(
      () => world.sent.push(value),
      () => world.refused.push(value),
    )
  }
const trySendStep =
  (value: string): Step =>
  async (world) => {
    if (world.sender.trySend(value) === 'sent') world.sent.push(value)
    else world.refused.push(value)
  }
const reserveStep =
  (value: string): Step =>
  async (world) => {
    try {
      ;(await world.sender.reserve()).send(value)
      world.sent.push(value)
    } catch {
      world.refused.push(value)
    }
  }
const abortStep =
  (value: string): Step =>
  async (world) =>
    world.aborts.get(value)?.abort()
const recvStep: Step = async (world) => {
  const value = await world.receiver.recv()
  if (value === undefined) world.ended = true
  else world.received.push(value)
}
const recvManyStep: Step = async (world) => {
  if ((await world.receiver.recvMany(world.received, 2)) === 0) world.ended = true
}
const closeSenderStep: Step = async ({ sender }) => sender.close()
const closeReceiverStep: Step = async ({ receiver }) => receiver.close()

/** What must hold at the end of any run, however it went. */
async function expectSound(world: World, steps: number): Promise<void> {
  world.sender.close()
  world.receiver.close()
  for (let value = world.receiver.tryRecv(); value !== undefined; value = world.receiver.tryRecv())
    world.received.push(value)
  await settle()
  // A receive that was pending when the channel ended may have taken the last ones.
  expect(world.sent.length + world.refused.length, 'every send has settled').toBe(steps)
  expect([...world.received].sort(), 'received is exactly what was sent').toEqual([...world.sent].sort())
  expect(new Set(world.received).size, 'nothing twice').toBe(world.received.length)
  for (const producer of ['a', 'b', 'c']) {
    const own = world.received.filter((value) => value.startsWith(producer))
    expect(own, 'each producer in its own order').toEqual([...own].sort())
  }
  expect(world.sender.capacity, 'all room has come back').toBe(world.sender.maxCapacity)
}

function newWorld(capacity: number): World {
  const ends = channel<string>(capacity)
  return { ...ends, sent: [], refused: [], received: [], ended: false, aborts: new Map() }
}

/** Runs one interleaving: at the nth choice takes `choices[n]`, then 0; returns how many ways there were at each. */
async function runInterleaving(
  capacity: number,
  actors: Step[][],
  choices: number[],
  sends: number,
): Promise<number[]> {
  const world = newWorld(capacity)
  const at = actors.map(() => 0)
  const busy = actors.map(() => false)
  const ways: number[] = []
  for (let turn = 0; ; turn++) {
    const ready = actors.flatMap((steps, actor) => (!busy[actor] && (at[actor] ?? 0) < steps.length ? [actor] : []))
    if (ready.length === 0) break
    ways.push(ready.length)
    const actor = ready[choices[turn] ?? 0] as number
    const step = actors[actor]?.[at[actor] ?? 0] as Step
    at[actor] = (at[actor] ?? 0) + 1
    busy[actor] = true
    void step(world).then(() => {
      busy[actor] = false
    })
    await settle()
    expect(world.receiver.slots).toBeLessThanOrEqual(capacity)
    expect(world.sender.capacity).toBeGreaterThanOrEqual(0)
    const receiverWaits = busy[actors.length - 1] && !world.ended
    if (receiverWaits) expect(world.receiver.length, 'no wake-up is lost').toBe(0)
  }
  // A step that never began is a send that never was.
  const never = actors.flatMap((steps, actor) => steps.slice(at[actor])).filter(isSend).length
  await expectSound(world, sends - never)
  return ways
}

const sendSteps = new WeakSet<Step>()
function isSend(step: Step): boolean {
  return sendSteps.has(step)
}
function sending(step: Step): Step {
  sendSteps.add(step)
  return step
}

/** Depth first over all choices, each run from the start. */
async function exploreAll(capacity: number, actors: Step[][]): Promise<number> {
  const sends = actors.flat().filter(isSend).length
  let runs = 0
  let choices: number[] | undefined = []
  while (choices !== undefined) {
    const ways: number[] = await runInterleaving(capacity, actors, choices, sends)
    runs += 1
    const taken: number[] = ways.map((_, turn) => choices?.[turn] ?? 0)
    let last = ways.length - 1
    while (last >= 0 && (taken[last] ?? 0) + 1 >= (ways[last] ?? 0)) last -= 1
    choices = last < 0 ? undefined : [...taken.slice(0, last), (taken[last] ?? 0) + 1]
  }
  return runs
}

describe('every interleaving of small programs', () => {
  // The consumer is always the last actor.
  const programs: [string, Step[][]][] = [
    [
      'two senders and a receiver',
      [
        [sending(sendStep('a1')), sending(sendStep('a2'))],
        [sending(sendStep('b1')), sending(sendStep('b2'))],
        [recvStep, recvStep, recvStep],
      ],
    ],
    [
      'an abort at every point',
      [
        [sending(sendStep('a1')), sending(sendStep('a2'))],
        [sending(sendStep('b1'))],
        [abortStep('a2')],
        [abortStep('b1')],
        [recvStep, recvManyStep],
      ],
    ],
    [
      'reservations beside sends',
      [
        [sending(sendStep('a1')), sending(reserveStep('a2'))],
        [sending(reserveStep('b1')), sending(trySendStep('b2'))],
        [recvManyStep, recvManyStep],
      ],
    ],
    [
      'the receiver closes at every point',
      [
        [sending(sendStep('a1')), sending(sendStep('a2'))],
        [sending(reserveStep('b1')), sending(sendStep('b2'))],
        [closeReceiverStep],
        [recvStep, recvManyStep],
      ],
    ],
    [
      'the sender closes at every point',
      [
        [sending(sendStep('a1')), sending(sendStep('a2'))],
        [sending(sendStep('b1'))],
        [closeSenderStep],
        [recvManyStep, recvStep],
      ],
    ],
  ]
  test.each(programs)(
    '%s',
    async (name, actors) => {
      let explored = 0
      for (const capacity of [1, 2]) explored += await exploreAll(capacity, actors)
      console.error(`  ${name}: ${explored} interleavings`)
      expect(explored).toBeGreaterThan(100)
    },
    60_000,
  )
})

test('property: whatever order fast-check schedules concurrent actors in, nothing is lost, doubled or out of order', async () => {
  const step = fc.constantFrom('send', 'trySend', 'reserve')
  const program = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 })
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      program,
      fc.integer({ min: 1, max: 3 }),
      fc.boolean(),
      async (scheduler, producers, capacity, closes) => {
        const world = newWorld(capacity)
        const run = async (name: string, steps: Step[]) => {
          for (const one of steps) {
            await scheduler.schedule(Promise.resolve(), name)
            await one(world)
          }
        }
        const make = { send: sendStep, trySend: trySendStep, reserve: reserveStep }
        let total = 0
        const running = producers.map((kinds, producer) => {
          total += kinds.length
          return run(
            `producer ${producer}`,
            kinds.map((kind, at) => make[kind as keyof typeof make](`${'abc'[producer]}${at}`)),
          )
        })
        const consumer = run(
          'consumer',
          Array.from({ length: total + 1 }, (_, at) => (at % 2 ? recvStep : recvManyStep)),
        )
        const closer = closes ? run('closer', [closeReceiverStep]) : Promise.resolve()
        const ended = Promise.all(running).then(() => world.sender.close())
        await scheduler.waitFor(Promise.all([consumer, closer, ended]))
        await expectSound(world, total)
        expect(world.ended).toBe(true)
      },
    ),
    { numRuns: 500 },
  )
})
