/** Handlers and routes in a test, without a server: the same results as the service gives. */
import { defineConfig, type Event, ofType, onType } from 'millrace'
import { runRoutes } from 'millrace/testing'
import { describe, expect, test } from 'vitest'

interface Order {
  readonly total: number
}

const config = defineConfig({
  handlers: {
    double: onType<Order>('order.*', ({ data, ...rest }) => ({ ...rest, data: { total: (data?.total ?? 0) * 2 } })),
    split: (event) => [event, { ...event, id: `${event.id}-copy` }],
    check: (event, { attempt }) => {
      if (event.id === 'never') throw new Error('never good')
      if (event.id === 'later' && attempt < 3) throw new Error('not yet')
      return event
    },
    drop: () => undefined,
  },
  sinks: {
    audit: () => {
      throw new Error('no sink is made')
    },
  },
  routes: [
    { name: 'orders', filter: ofType('order.*'), handlers: ['check', 'double'], sink: 'audit' },
    { name: 'copies', handlers: ['split'], sink: 'file' },
    { name: 'none', handlers: ['drop'], sink: 'stdout' },
  ],
})
const order = (id: string, total = 1) => ({ id, type: 'order.paid', data: { total } })
const idsOf = (events: readonly Event[] = []) => events.map(({ id }) => id)

test('each route gives what its sink would get, and counts what its filter keeps out', async () => {
  const { orders, copies, none } = await runRoutes(config, [order('1', 5), { id: 2, type: 'page.viewed', data: 'x' }])
  expect(orders?.events).toMatchObject([
    { specversion: '1.0', id: '1', source: 'millrace', type: 'order.paid', data: { total: 10 } },
  ])
  expect(orders).toMatchObject({ filtered: 1, deadLetters: [] })
  expect(idsOf(copies?.events)).toEqual(['1', '1-copy', '2', '2-copy'])
  expect(none).toEqual({ events: [], deadLetters: [], filtered: 0 })
})

test('a handler that throws is tried again, and its event is a dead letter after RETRY_MAX_ATTEMPTS', async () => {
  const events = [order('a'), order('later'), order('never'), order('b')]
  const { orders } = await runRoutes(config, events, { environment: { RETRY_MAX_ATTEMPTS: '4' } })
  expect(idsOf(orders?.events)).toEqual(['a', 'later', 'b'])
  expect(orders?.deadLetters).toEqual([
    {
      event: expect.objectContaining({ id: 'never' }),
      reason: expect.stringMatching(/^Error: never good\n +at /),
      attempts: 4,
    },
  ])
  const once = await runRoutes(config, events, { environment: { RETRY_MAX_ATTEMPTS: '1' } })
  expect(once.orders?.deadLetters.map(({ event }) => event.id)).toEqual(['later', 'never'])
})

test('a filter that throws makes its event a dead letter at once', async () => {
  const filter = ({ id }: Event) => {
    if (id === '2') throw new Error('which?')
    return true
  }
  const { a } = await runRoutes({ routes: [{ name: 'a', filter, sink: 'file' }] }, [order('1'), order('2'), order('3')])
  expect(idsOf(a?.events)).toEqual(['1', '3'])
  expect(a?.deadLetters).toMatchObject([{ event: { id: '2' }, attempts: 0, reason: expect.stringMatching(/which\?/) }])
})

test('without routes in the config: those of the environment', async () => {
  const { handlers } = config
  const environment = { SINKS: 'file,stdout', HANDLERS: 'split' }
  const results = await runRoutes({ ...(handlers && { handlers }) }, [order('1')], { environment })
  expect(Object.entries(results).map(([name, { events }]) => [name, idsOf(events)])).toEqual([
    ['file', ['1', '1-copy']],
    ['stdout', ['1', '1-copy']],
  ])
})

describe('what a start or the service would refuse is refused', () => {
  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'a route',
      () => runRoutes({ routes: [{ name: 'a', sink: 'flie' }] }, []),
      /^route "a" in config: sink: there is no "flie"/,
    ],
    ['a variable', () => runRoutes({}, [], { environment: { PORT: 'x' } }), /^PORT: /],
    [
      'a key',
      () => runRoutes({ route: [] } as object, []),
      /^config: there is no "route" in it: did you mean routes\?/,
    ],
    ['an event', () => runRoutes({}, [order('1'), { type: 't' }]), /^events\[1\] would be refused: data is missing/],
  ])('%s', async (_, run, message) => {
    await expect(run()).rejects.toThrow(message)
  })
})
