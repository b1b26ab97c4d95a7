/** What a config file exports is checked key by key: the message names the file, the key and what was expected. */
import { describe, expect, test } from 'vitest'
import { configFileOf } from '../../app/config-file/load.ts'

const handler = () => undefined
const sink = () => ({ concurrency: 1, maxBatchEvents: 1, write: async () => undefined, close: async () => {} })
const load = (value: unknown) => configFileOf('millrace.config.ts', value)

test('every part may be left out', () => {
  expect(load({})).toMatchObject({ handlers: {}, sinks: {}, routes: undefined })
  expect(load({ handlers: undefined, routes: [] })).toMatchObject({ handlers: {}, routes: [] })
  expect(load({ handlers: { handler }, sinks: { audit: sink } })).toMatchObject({
    handlers: { handler },
    sinks: { audit: sink },
  })
})

describe('refused', () => {
  test.each<[string, unknown, RegExp]>([
    [
      'no default export',
      undefined,
      /^millrace\.config\.ts: there is no default export: write "export default defineConfig/,
    ],
    ['a function', () => ({}), /^millrace\.config\.ts: the default export is a function, not an object/],
    ['a promise', Promise.resolve({}), /the default export is a promise: write "export default await …"$/],
    ['an array', [], /the default export is an array, not an object/],
    ['a key that is misspelt', { handler: {} }, /: there is no "handler" in it: did you mean handlers\?$/],
    ['a key of something else', { plugins: [] }, /: there is no "plugins" in it: use handlers, sinks, routes, hooks$/],
    [
      'handlers in a list',
      { handlers: [handler] },
      /: handlers is an array, not an object such as \{ name: \(event, context\)/,
    ],
    ['a handler that is none', { handlers: { a: 7 } }, /: handlers\.a is 7, not a function \(event, context\) => …$/],
    [
      'the name of a handler with a comma',
      { handlers: { 'a,b': handler } },
      /: handlers: "a,b" is not a name, which has letters/,
    ],
    [
      'a sink and not what makes one',
      { sinks: { a: sink() } },
      /: sinks\.a is an object, not a function \(\{ options \}\) => …$/,
    ],
    [
      'the name of a sink in capitals',
      { sinks: { Audit: sink } },
      /: sinks: "Audit" is not a name, which has 1 to 64 lower-case/,
    ],
    [
      "a sink with a name of Millrace's",
      { sinks: { http: sink } },
      /: sinks\.http: Millrace has a sink of this name: rename yours$/,
    ],
    ['routes by name', { routes: { orders: {} } }, /: routes is an object, not an array of \{ name, filter, handlers/],
    ['a route that is none', { routes: ['file'] }, /: routes\[0\] is a text, not \{ name, sink, … \}$/],
  ])('%s', (_, value, message) => {
    expect(() => load(value)).toThrow(message)
    expect(() => load(value)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  test('without showing what a text says, which may be a secret', () => {
    for (const value of ['hunter2', { handlers: 'hunter2' }, { routes: 'hunter2' }, { sinks: { a: 'hunter2' } }]) {
      expect(() => load(value)).toThrow(/a text/)
      expect(() => load(value)).not.toThrow(/hunter2/)
    }
  })
})
