import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { BodyScheduler } from '../../app/http/body-scheduler.ts'

const LARGE = 100_000

/** As a request does it: what is refused or fails at once rejects as well. */
async function run<T>(scheduler: BodyScheduler, bytes: number, work: () => T): Promise<T> {
  let result: T | undefined
  await scheduler.run(bytes, () => {
    result = work()
  })
  return result as T
}

/** Work that keeps the event loop busy. */
function busy(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

describe('many large bodies at once', () => {
  test('are parsed in their order, a few in each turn of the event loop', async () => {
    const scheduler = new BodyScheduler(() => true)
    const order: number[] = []
    let beats = 0
    const beat = setInterval(() => (beats += 1), 1)
    const work = (index: number) => () => {
      busy(3)
      order.push(index)
      return index
    }
    const all = await Promise.all(Array.from({ length: 10 }, (_, index) => run(scheduler, LARGE, work(index))))
    clearInterval(beat)
    expect(all).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(order).toEqual(all)
    expect(beats).toBeGreaterThan(5)
  })

  test('leave small ones alone: those are done at once', async () => {
    const scheduler = new BodyScheduler(() => true)
    const order: string[] = []
    const work = () => {
      busy(3)
      order.push('large')
    }
    const large = Array.from({ length: 5 }, () => run(scheduler, LARGE, work))
    await run(scheduler, 100, () => order.push('small'))
    await Promise.all(large)
    expect(order.indexOf('small')).toBeLessThan(2)
  })

  test('are refused when they would wait for too long, until there is time again', async () => {
    const scheduler = new BodyScheduler(() => true)
    await run(scheduler, LARGE, () => busy(3)) // what one takes is measured
    const outcomes = await Promise.allSettled(Array.from({ length: 200 }, () => run(scheduler, LARGE, () => busy(3))))
    const refused = outcomes.filter(({ status }) => status === 'rejected')
    // Less than a tenth of a second of work waits; all of them are more than half a second.
    expect(refused.length).toBeGreaterThan(50)
    expect(refused.length).toBeLessThan(199)
    expect(refused[0]).toMatchObject({ reason: { code: 'OVERLOADED', status: 503 } })
    await run(scheduler, LARGE, () => undefined)
  })
})

test('what is too large for the queue is taken when nothing else waits', async () => {
  const scheduler = new BodyScheduler(() => true)
  await run(scheduler, LARGE, () => busy(20))
  await sleep(1)
  expect(scheduler.refusal(1e9)).toBeUndefined()
  expect(await run(scheduler, 1e9, () => 'done')).toBe('done')
})

test('work that fails fails for its own request only', async () => {
  const scheduler = new BodyScheduler(() => true)
  const fail = () => {
    busy(3)
    throw new Error('malformed')
  }
  const outcomes = await Promise.allSettled([
    run(scheduler, LARGE, fail),
    run(scheduler, LARGE, fail),
    run(scheduler, LARGE, () => 'done'),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
})

test('while there is no room for them, large bodies wait, and small ones are still looked at', async () => {
  let room = false
  const scheduler = new BodyScheduler(() => room)
  const order: string[] = []
  const large = run(scheduler, LARGE, () => order.push('large'))
  await run(scheduler, 100, () => order.push('small'))
  await sleep(20)
  expect(order).toEqual(['small'])
  room = true
  await large
  expect(order).toEqual(['small', 'large'])
})

test('a body is not held for longer than a second: then the channel says what is wrong', async () => {
  const scheduler = new BodyScheduler(() => false)
  const startedAt = performance.now()
  expect(await run(scheduler, LARGE, () => 'refused')).toBe('refused')
  expect(performance.now() - startedAt).toBeGreaterThan(900)
})
