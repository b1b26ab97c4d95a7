/** What `millrace plan` prints; what it plans is in capacity.test.ts, how it refuses in cli.test.ts. */
import { expect, test } from 'vitest'
import { asText, loadOf } from '../../../infra/sizing/plan.ts'

const options = { eventsPerSecond: 100_000, bytes: 273, retention: 24, sinks: 1, replication: 3 }

test.each([1, 1000, 100_000, 10_000_000])('%i events/s: at most 25 lines, aligned, each with what binds it', (rate) => {
  const text = asText(loadOf({ ...options, eventsPerSecond: rate }))
  expect(text.length).toBeLessThanOrEqual(25)
  for (const line of text) expect(line.length).toBeLessThanOrEqual(130)
  const head = text.findIndex((line) => line.includes('bound by'))
  const column = text[head]?.indexOf('bound by') ?? 0
  for (const row of text.slice(head + 1, head + 8)) {
    expect(row.slice(column - 2)).toMatch(/^ {2}\S/)
    expect(row).toMatch(/ %$/)
  }
})

test('a body that a service would refuse is no plan', () => {
  expect(loadOf(options).eventsPerRequest).toBe(100)
  expect(loadOf({ ...options, bytes: 2 ** 20 }).eventsPerRequest).toBe(1)
  expect(() => loadOf({ ...options, bytes: 1000, eventsPerRequest: 1048 })).toThrow(
    /--events-per-request 1047 at most$/,
  )
})
