import fc from 'fast-check'
import { expect, test } from 'vitest'
import { traceIdOf, traceparentOf, withTraceparent } from '../../app/http/trace.ts'

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

test.each([
  [TRACE, TRACE],
  [
    'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  ],
  [undefined, undefined],
  ['', undefined],
  ['ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', undefined],
  ['00-00000000000000000000000000000000-00f067aa0ba902b7-01', undefined],
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01', undefined],
  ['00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01', undefined],
  [`${TRACE}"`, undefined],
])('the header %s is %s', (header, expected) => {
  expect(traceparentOf(header === undefined ? {} : { traceparent: header })).toBe(expected)
})

test('the trace id is its second part', () => {
  expect(traceIdOf(TRACE)).toBe('4bf92f3577b34da6a3ce929d0e0e4736')
})

test('every event gets it, none loses anything, and one that brings its own keeps it', () => {
  const events = fc.array(
    fc.record({
      data: fc.jsonValue(),
      own: fc.option(fc.constant('mine')),
      space: fc.constantFrom('', ' ', '\t', '\r '),
    }),
    { minLength: 1, maxLength: 20 },
  )
  fc.assert(
    fc.property(events, (list) => {
      const lines = list.map(({ data, own, space }) => {
        const event = own === null ? { data } : { data, traceparent: own }
        return `${space}${JSON.stringify(event)}${space}`
      })
      const marked = withTraceparent(Buffer.from(lines.join('\n')), TRACE, 1024 * 1024).toString()
      const got = marked.split('\n').map((line) => JSON.parse(line))
      expect(got).toEqual(list.map(({ data, own }) => JSON.parse(JSON.stringify({ data, traceparent: own ?? TRACE }))))
    }),
  )
})

test('a payload that would grow past the limit is left as it is', () => {
  const payload = Buffer.from('{"data":1}\n{"data":2}')
  expect(withTraceparent(payload, TRACE, payload.length + 10)).toBe(payload)
})
