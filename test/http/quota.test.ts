import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MillraceError } from '../../app/errors.ts'
import { Quota } from '../../app/http/quota.ts'

const RATE = 10
const BURST = 100

test('property: nobody ever gets more than the burst plus the rate times the time', () => {
  const step = fc.record({
    client: fc.constantFrom('a', 'b'),
    events: fc.integer({ min: 1, max: BURST }),
    afterMs: fc.integer({ min: 0, max: 20_000 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const quota = new Quota(RATE)
      const got = { a: 0, b: 0 }
      let nowMs = 0
      for (const { client, events, afterMs } of steps) {
        nowMs += afterMs
        try {
          quota.take(client, events, nowMs)
          got[client] += events
        } catch (error) {
          expect(error).toMatchObject({ code: 'OVER_QUOTA' })
        }
        expect(got[client]).toBeLessThanOrEqual(BURST + (RATE * nowMs) / 1000 + 1e-6)
      }
    }),
  )
})

test('what is refused costs nothing, and comes through when enough time has passed', () => {
  const quota = new Quota(RATE)
  quota.take('a', BURST, 0)
  expect(() => quota.take('a', 50, 4900)).toThrow(MillraceError)
  quota.take('a', 50, 5000)
})

test('what is more than any burst can never come through', () => {
  expect(() => new Quota(RATE).take('a', BURST + 1, 0)).toThrow(expect.objectContaining({ code: 'TOO_MANY_EVENTS' }))
})

test('what is given back can be taken again, and no more than that', () => {
  const quota = new Quota(RATE)
  quota.take('a', BURST, 0)
  quota.giveBack('a', 30)
  expect(() => quota.take('a', 31, 0)).toThrow(expect.objectContaining({ code: 'OVER_QUOTA' }))
  quota.take('a', 30, 0)
  quota.giveBack('b', 30) // never seen: its bucket is full
  expect(() => quota.take('b', BURST + 1, 0)).toThrow(expect.objectContaining({ code: 'TOO_MANY_EVENTS' }))
})

test('names without end: 10,000 are remembered, and the one that was idle for longest goes', () => {
  const quota = new Quota(1)
  quota.take('first', 10, 0)
  quota.take('second', 10, 0)
  for (let at = 0; at < 9998; at++) quota.take(`client-${at}`, 1, 0)
  expect(() => quota.take('first', 1, 0)).toThrow(/over 1 events a second/) // used: now the second was idle for longest
  quota.take('one more', 1, 0)
  expect(() => quota.take('first', 1, 0)).toThrow(/over 1 events a second/)
  quota.take('second', 10, 0) // forgotten: begins with all of it
})
