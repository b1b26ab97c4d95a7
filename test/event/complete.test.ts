import fc from 'fast-check'
import { expect, test } from 'vitest'
import { writeEvent } from '../../app/event/complete.ts'
import { validate } from '../../app/event.ts'
import { decoded, faultOf } from '../support/events.ts'

const TIME = '2026-01-31T12:00:00.000Z'
const cloudEvent = { specversion: '1.0', id: 'a', source: '/shop', type: 'order' }

function completed(...lines: readonly string[]) {
  const payload = Buffer.from(`${lines.join('\n')}\n`)
  const place = { logId: 'log', baseOffset: 7, appendedAtMs: Date.parse(TIME) }
  return decoded({ ...place, count: lines.length, payload })
}

test('what is missing is filled in, from the place in the log', () => {
  expect(completed('{"data":1}')).toEqual([
    { specversion: '1.0', id: 'log-7', source: 'millrace', type: 'event', time: TIME, data: 1 },
  ])
})

test.each([
  ['0', '0'],
  ['-0', '0'],
  ['1.0', '1'],
  ['1e3', '1000'],
  ['-17', '-17'],
  ['9007199254740993', '9007199254740993'],
  ['"b"', 'b'],
  ['null', 'log-7'],
])('the id %s becomes the text %j', (id, text) => {
  expect(completed(`{"id":${id},"data":1}`)).toMatchObject([{ id: text }])
})

test('a complete CloudEvent stays as it is, but for absent attributes sent as null', () => {
  expect(completed(JSON.stringify(cloudEvent))).toEqual([cloudEvent])
  expect(completed(JSON.stringify({ ...cloudEvent, subject: null, data: null }))).toEqual([
    { ...cloudEvent, data: null },
  ])
})

test('of a name that is there twice, as older logs have it, the later counts', () => {
  expect(completed('{"traceparent":"a","data":1,"traceparent":"b"}')).toMatchObject([{ traceparent: 'b' }])
  expect(completed('{"data":1,"data":2.0}')).toMatchObject([{ data: 2 }])
})

test('property: whatever is accepted completes to a valid CloudEvent, the same one every time', () => {
  const text = fc.string({ minLength: 1, maxLength: 20 })
  const event = fc.record(
    { id: fc.oneof(text, fc.integer(), fc.constant(null)), type: text, subject: text, data: fc.jsonValue() },
    { requiredKeys: ['data'] },
  )
  fc.assert(
    fc.property(event, (received) => {
      const line = JSON.stringify(received)
      fc.pre(faultOf(line) === undefined)
      const [once] = completed(line)
      expect(validate(once, 'strict')).toBeUndefined()
      expect(completed(line)).toEqual([once])
      expect(once?.data).toEqual(JSON.parse(line).data)
    }),
  )
})

test('an event is written with its data as it is', () => {
  expect(writeEvent({ id: 'a' }, Buffer.from('1.0')).toString()).toBe('{"id":"a","data":1.0}')
  expect(writeEvent({}, Buffer.from('1e400')).toString()).toBe('{"data":1e400}')
  expect(writeEvent({}, undefined).toString()).toBe('{}')
})
