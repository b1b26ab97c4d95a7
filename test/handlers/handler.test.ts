import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Event } from '../../app/event.ts'
import { type Handler, type HandlerContext, onType } from '../../app/handlers/handler.ts'

const context: HandlerContext = { attempt: 1, sink: 'test', signal: new AbortController().signal }
const event = (type: string): Event<{ total: number }> => ({
  specversion: '1.0',
  id: '1',
  source: 'test',
  type,
  data: { total: 2 },
})
const double: Handler<{ total: number }> = ({ data, ...rest }) => ({ ...rest, data: (data?.total ?? 0) * 2 })

test.each([
  ['order.placed', 'order.placed', true],
  ['order.*', 'order.placed', true],
  ['*.placed', 'order.placed', true],
  ['*', 'anything at all', true],
  ['order.*', 'orders', false],
  ['order.placed', 'order.placed.late', false],
  ['order+', 'orderrr', false],
])('%j and the type %j', (pattern, type, matches) => {
  const result = onType(pattern, double)(event(type), context)
  expect(result).toEqual(matches ? { ...event(type), data: 4 } : event(type))
})

test('property: a type matches itself, whatever is in it, and passes the handlers of others as it is', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (type, other) => {
      fc.pre(!type.includes('*'))
      expect(onType(type, double)(event(type), context)).toMatchObject({ data: 4 })
      fc.pre(type !== other)
      const untouched = event(other)
      expect(onType(type, double)(untouched, context)).toBe(untouched)
    }),
  )
})

test('it keeps the name of its handler, for what is said when it fails', () => {
  expect(onType('order.*', double).name).toBe('double')
  expect(onType('order.*', (same) => same).name).toBe('for order.*')
})
