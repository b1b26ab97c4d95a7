import { expect, test } from 'vitest'
import { decoded } from '../support/events.ts'

const group = (payload: string, count: number) => ({
  logId: 'log',
  payload: Buffer.from(payload),
  count,
  baseOffset: 40,
  appendedAtMs: 0,
})

test('every line becomes an event with the id of its offset, the same one each time', () => {
  const once = decoded(group('{"data":1}\n{"id":7,"data":"é"}\n', 2))
  expect(once).toEqual([
    { specversion: '1.0', id: 'log-40', source: 'millrace', type: 'event', time: '1970-01-01T00:00:00.000Z', data: 1 },
    { specversion: '1.0', id: '7', source: 'millrace', type: 'event', time: '1970-01-01T00:00:00.000Z', data: 'é' },
  ])
  expect(decoded(group('{"data":1}\n{"id":7,"data":"é"}\n', 2))).toEqual(once)
})

test('a group that holds another number of events than it says is an error, not a shift of offsets', () => {
  expect(() => decoded(group('{"data":1}\n', 2))).toThrow(/offset 40 holds 1 events, not 2/)
})

test('a record that is no JSON object is undefined, and those beside it are events', () => {
  const events = decoded(group('{"data":1}\nnot json\n[]\n\n{"data":2}\n', 5))
  expect(events.map((event) => event?.data)).toEqual([1, undefined, undefined, undefined, 2])
})

test('a record that is nested too deep for any sink, as others may write it to a topic, is no event', () => {
  const deep = `{"data":${'['.repeat(5000)}${']'.repeat(5000)}}`
  const events = decoded(group(`{"data":1}\n${deep}\n{"data":2}\n`, 3))
  expect(events.map((event) => event?.data)).toEqual([1, undefined, 2])
})
