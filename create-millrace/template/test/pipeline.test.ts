/** Handlers and routes without a server, and the contract of a sink, checked on your own. */
import { runRoutes, sinkChecks } from 'millrace/testing'
import { expect, test } from 'vitest'
import { ConsoleSink } from '../console-sink.ts'
import config from '../millrace.config.ts'

test('an order goes to the console, marked; other events do not', async () => {
  const events = [
    { type: 'order.paid', data: 1 },
    { type: 'page.viewed', data: 2 },
  ]
  const { orders } = await runRoutes(config, events)
  expect(orders?.events).toMatchObject([{ type: 'order.paid', data: 1, handledat: expect.any(String) }])
  expect(orders?.filtered).toBe(1)
})

async function open() {
  const lines: string[] = []
  return {
    sink: new ConsoleSink((line) => lines.push(line)),
    delivered: async () => lines.map((line) => JSON.parse(line)),
  }
}
for (const { name, run } of sinkChecks({ open })) test(name, run)
