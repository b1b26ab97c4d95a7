import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { NO_CONFIG_FILE } from '../../app/config-file/load.ts'
import { checkRoutes, type Route } from '../../app/delivery/route.ts'
import { ofType } from '../../app/handlers/handler.ts'
import { pickFrom } from '../../app/handlers/pick.ts'
import userConfig from '../../millrace.config.ts'

const file = { ...NO_CONFIG_FILE, path: '/project/millrace.config.ts', handlers: userConfig.handlers ?? {} }
const pickHandlers = pickFrom(file)
const config = loadConfig({ RETRY_MAX_ATTEMPTS: '7' })
const check = (...routes: Route[]) => checkRoutes(config, { ...file, routes }, pickHandlers)

test('without routes of your own: one for each of SINKS, through HANDLERS, all events', () => {
  const config = loadConfig({ SINKS: 'file,stdout', HANDLERS: 'sample' })
  const routes = checkRoutes(config, file, pickHandlers)
  expect(routes).toMatchObject([
    { name: 'file', sink: 'file', filter: undefined },
    { name: 'stdout', sink: 'stdout', filter: undefined },
  ])
  expect(routes[0]?.handlers).toHaveLength(1)
})

test('a route has its own filter, handlers and options, and the rest from the environment', () => {
  const filter = ofType('order.*', 'cart.*')
  const [route] = check({ name: 'orders', filter, handlers: ['sample'], sink: 'file', options: { RETRY_BASE_MS: 5 } })
  expect(route).toMatchObject({ name: 'orders', filter, config: { RETRY_BASE_MS: 5, RETRY_MAX_ATTEMPTS: 7 } })
  const event = { specversion: '1.0', id: '1', source: 's' } as const
  expect(['order.x', 'cart.y', 'orders', 'x.order.y'].map((type) => route?.filter?.({ ...event, type }))).toEqual([
    true,
    true,
    false,
    false,
  ])
})

test('a filter for no type would take no event, so it cannot be made', () => {
  expect(() => ofType()).toThrow("ofType() would take no event: name a type, such as ofType('order.*')")
})

describe('refused at the start, by name', () => {
  test.each<[string, Route[], RegExp]>([
    [
      'a name with a slash',
      [{ name: 'a/b', sink: 'file' }],
      /^route "a\/b" in millrace\.config\.ts: name: a name has 1 to 64/,
    ],
    [
      'the same name twice',
      [
        { name: 'a', sink: 'file' },
        { name: 'a', sink: 'stdout' },
      ],
      /route "a".*: there is another one with this name/,
    ],
    [
      'two that write the same files',
      [
        { name: 'a', sink: 'file' },
        { name: 'b', sink: 'file' },
      ],
      /route "b".*: a writes to \.\/data\/delivered already: give it a FILE_SINK_DIR/,
    ],
    ['what its sink needs', [{ name: 'hook', sink: 'http' }], /route "hook".*: HTTP_SINK_URL: the http sink needs it/],
    [
      'an option out of its range',
      [{ name: 'a', sink: 'file', options: { RETRY_MAX_ATTEMPTS: 0 } }],
      /route "a".*: RETRY_MAX_ATTEMPTS: "0" is not a whole number from 1 to 1000/,
    ],
    [
      'a handler there is not',
      [{ name: 'a', sink: 'file', handlers: ['nope'] }],
      /route "a".*: .*there is no handler "nope"/,
    ],
  ])('%s', (_, routes, message) => {
    expect(() => check(...routes)).toThrow(message)
  })
})

describe('what a route cannot have', () => {
  const declare =
    (route: object, environment: Record<string, string> = {}) =>
    () =>
      checkRoutes(loadConfig(environment), { ...file, routes: [route as Route] }, () => [])

  test.each([
    [
      { name: 'a', sink: 'file', options: { PORT: 1 } },
      /option PORT means nothing to a route into file: use FILE_SINK_DIR/,
    ],
    [
      { name: 'a', sink: 'file', options: { HTTP_SINK_URL: 'http://x' } },
      /HTTP_SINK_URL means nothing to a route into file/,
    ],
    [
      { name: 'a', sink: 'file', options: { FILE_SINK_DIRS: 'x' } },
      /FILE_SINK_DIRS means nothing to a route into file: did you mean FILE_SINK_DIR\?$/,
    ],
    [
      { name: 'a', sink: 'stdout', options: { LOG_MAX_BYTES: 1 } },
      /LOG_MAX_BYTES means nothing to a route into stdout: use RETRY/,
    ],
    [{ name: 'a', sink: 'file', options: { RETRY_MAX_MS: -1 } }, /RETRY_MAX_MS/],
    [{ name: 'a', sink: 'file', filters: () => true }, /there is no "filters" in a route: did you mean filter\?$/],
    [{ name: 'a', sink: 'file', priority: 1 }, /there is no "priority" in a route: use name, filter, handlers/],
  ])('%j ends the start, by its name', (route, message) => {
    expect(declare(route)).toThrow(message)
    expect(declare(route)).toThrow(/route "a"/)
  })

  test.each([
    { RETRY_BASE_MS: 1 },
    { HANDLER_CONCURRENCY: 1 },
    { DEAD_LETTER_MAX_BYTES: 20_000_000 },
    { FILE_SINK_ROLL_MS: 5000 },
  ])('its own options are taken: %j', (options) => {
    expect(declare({ name: 'a', sink: 'file', options })()[0]?.config).toMatchObject(options)
  })

  test('around Kafka, a name with which the topic of its dead letters is too long', () => {
    const kafka = { LOG_ENGINE: 'kafka', KAFKA_BROKERS: 'localhost:9092', KAFKA_TOPIC: 't'.repeat(200) }
    expect(declare({ name: 'a'.repeat(35), sink: 'file' }, kafka)).not.toThrow()
    expect(declare({ name: 'a'.repeat(36), sink: 'file' }, kafka)).toThrow(
      /of 250 characters, and Kafka takes 249: shorten KAFKA_TOPIC/,
    )
    expect(() => loadConfig({ ...kafka, KAFKA_TOPIC: '..' })).toThrow(/^KAFKA_TOPIC: /)
  })
})

describe('routes of the config file beside SINKS and HANDLERS', () => {
  const namesOf = (environment: Record<string, string>, routes: Route[] | undefined) =>
    checkRoutes(loadConfig(environment), { ...file, routes }, pickHandlers).map(({ name }) => name)
  const orders: Route = { name: 'orders', sink: 'stdout' }

  test('without routes, each of SINKS; with routes, only these; with both set, both', () => {
    expect(namesOf({}, undefined)).toEqual(['file'])
    expect(namesOf({}, [orders])).toEqual(['orders'])
    expect(namesOf({}, [])).toEqual([])
    expect(namesOf({ SINKS: 'file' }, [orders])).toEqual(['file', 'orders'])
    expect(namesOf({ MILLRACE_SINKS: 'file,stdout' }, [])).toEqual(['file', 'stdout'])
  })

  test('handlers of the environment that nothing would go through end the start', () => {
    expect(() => namesOf({ HANDLERS: 'sample' }, [orders])).toThrow(
      /^HANDLERS: no event would go through them: millrace\.config\.ts has routes, .* Leave HANDLERS out, or set SINKS/,
    )
    expect(namesOf({ HANDLERS: 'sample', SINKS: 'file' }, [orders])).toEqual(['file', 'orders'])
  })
})

describe('a route into a sink of the config file', () => {
  const create = () => ({ concurrency: 1, maxBatchEvents: 1, write: async () => undefined, close: async () => {} })
  const declare = (route: object) =>
    checkRoutes(config, { ...file, sinks: { audit: create }, routes: [route as Route] }, pickHandlers)

  test('hands its options to the sink, and variables of delivery to delivery', () => {
    const [route] = declare({ name: 'a', sink: 'audit', options: { path: './x', RETRY_BASE_MS: 5 } })
    expect(route).toMatchObject({
      sink: 'audit',
      own: { create, options: { path: './x' } },
      config: { RETRY_BASE_MS: 5 },
    })
    expect(route?.own?.options).toEqual({ path: './x' })
  })

  test.each<[string, object, RegExp]>([
    [
      'a variable that is misspelt',
      { name: 'a', sink: 'audit', options: { RETRY_MAX_ATTEMPT: 5 } },
      /^route "a" in millrace\.config\.ts: option RETRY_MAX_ATTEMPT means nothing .* into audit: did you mean RETRY_MAX_ATTEMPTS\?$/,
    ],
    [
      'a sink that is not there',
      { name: 'a', sink: 'kinesis' },
      /: sink: there is no "kinesis": use file, stdout, http, s3, postgres, audit, or add it to sinks of/,
    ],
    ['a sink that is misspelt', { name: 'a', sink: 'adit' }, /: sink: there is no "adit": did you mean audit\?$/],
    [
      'a handler that is misspelt',
      { name: 'a', sink: 'audit', handlers: ['smaple'] },
      /: handlers: there is no handler "smaple" in .*: did you mean sample\?$/,
    ],
    [
      'no name',
      { sink: 'audit' },
      /^routes\[0\] in millrace\.config\.ts: name: it is missing, or no text: write name: 'orders'$/,
    ],
    ['no sink', { name: 'a' }, /: sink: it is missing, or no text: name a sink, such as file, stdout/],
    [
      'a filter that is no function',
      { name: 'a', sink: 'audit', filter: 'order.*' },
      /: filter: it must be a function \(event\) => boolean$/,
    ],
    [
      'one handler and no list',
      { name: 'a', sink: 'audit', handlers: 'sample' },
      /: handlers: it must be an array of names$/,
    ],
    [
      'handlers and not their names',
      { name: 'a', sink: 'audit', handlers: [create] },
      /: handlers: it must be an array of names$/,
    ],
    ['options in a list', { name: 'a', sink: 'audit', options: [] }, /: options: it must be an object$/],
  ])('is refused with %s', (_, route, message) => {
    expect(() => declare(route)).toThrow(message)
  })
})
