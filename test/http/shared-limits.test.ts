/** Limits in shared memory: several threads grant together what one would. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Quota } from '../../app/http/quota.ts'
import { limitMemory, SharedQuota, sharedStore } from '../../app/http/shared-limits.ts'

/** @returns the code of the refusal, or `taken`. */
function take(quota: Pick<Quota, 'take'>, client: string, events: number, nowMs: number): string {
  try {
    quota.take(client, events, nowMs)
    return 'taken'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('the quota', () => {
  test('threads that take in turns are refused exactly when one alone would be', () => {
    const step = fc.record({
      thread: fc.nat(2),
      client: fc.constantFrom('a', 'b', 'c'),
      events: fc.integer({ min: 1, max: 90 }),
      // Eighths of a second at eight events a second: all of it is exact in binary.
      passed: fc.nat(40),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const memory = limitMemory()
        const threads = [0, 1, 2].map(() => new SharedQuota(8, memory))
        const alone = new Quota(8)
        let nowMs = 1000
        for (const { thread, client, events, passed } of steps) {
          nowMs += passed * 125
          const shared = threads[thread] as SharedQuota
          expect(take(shared, client, events, nowMs)).toBe(take(alone, client, events, nowMs))
        }
      }),
      { numRuns: 200 },
    )
  })

  test('with more clients than there is room for, those that used little are forgotten, and nobody is refused for another', () => {
    const quota = new SharedQuota(10, limitMemory())
    for (let client = 0; client < 50_000; client++) expect(take(quota, `address-${client}`, 1, 1000)).toBe('taken')
    for (let at = 0; at < 100; at++) expect(take(quota, 'busy', 1, 1000)).toBe('taken')
    expect(take(quota, 'busy', 1, 1000)).toBe('OVER_QUOTA')
  })
})

test('requests of a window are counted over all threads, and the next window begins anew', async () => {
  const memory = limitMemory()
  const threads = [0, 1].map(() => new (sharedStore(memory))())
  const counted: number[] = []
  const count = (thread: number, client: string) =>
    threads[thread]?.incr(client, (_error, result) => counted.push(result?.current ?? 0), 50)
  for (const thread of [0, 1, 1, 0]) count(thread, 'a')
  count(1, 'b')
  await new Promise((resolve) => setTimeout(resolve, 60))
  count(0, 'a')
  expect(counted).toEqual([1, 2, 3, 4, 1, 1])
})

test('what is given back can be taken again, and no more than that', () => {
  const quota = new SharedQuota(8, limitMemory())
  quota.take('a', 80, 1000)
  quota.giveBack('a', 30, 1000)
  expect(() => quota.take('a', 31, 1000)).toThrow(/over 8 events a second/)
  quota.take('a', 30, 1000)
})
