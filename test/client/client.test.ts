/** The client beside a real listener with a real log, and beside servers that answer what the listener seldom does. */
import { expect, test, vi } from 'vitest'
import { createClient } from '../../app/client/client.ts'
import { accept, balance, startAnswers, startClient } from '../support/client.ts'
import { startHttp } from '../support/http.ts'
import { until } from '../support/service.ts'

const idsOf = (lines: readonly string[]) => lines.map((line) => JSON.parse(line).id)

test('what is tracked arrives as complete CloudEvents, in order, with the ids that track has returned', async () => {
  const server = await startHttp()
  const { client } = startClient({ url: server.url, source: '/shop' })
  const ids = [
    client.track({ type: 'order.created', subject: 'c1', data: { total: 19.95 } }),
    client.track({ id: 'mine', source: '/other', time: '2026-01-31T12:00:00Z', data: 'Ω' }),
    client.track({ data_base64: 'AAEC', seenby: 'test' }),
  ]
  expect(await client.flush()).toBe(true)
  const events = (await server.stored()).map((line) => JSON.parse(line))
  expect(events.map(({ id }) => id)).toEqual(ids)
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)
  const [first, second, third] = events
  expect(first).toEqual({
    ...{ specversion: '1.0', id: ids[0], source: '/shop', type: 'order.created', subject: 'c1', time },
    data: { total: 19.95 },
  })
  expect(second).toMatchObject({ id: 'mine', source: '/other', type: 'event', time: '2026-01-31T12:00:00Z', data: 'Ω' })
  expect(third).toMatchObject({ source: '/shop', data_base64: 'AAEC', seenby: 'test' })
  expect(client.stats).toMatchObject({ tracked: 3, sent: 3, rejected: 0, dropped: 0, queuedEvents: 0, queuedBytes: 0 })
})

test('an event waits for others for a moment, and a full batch for nothing', async () => {
  const { url, requests } = await startAnswers(accept)
  const { client } = startClient({ url, maxBatchAgeMs: 1500, maxBatchEvents: 10 })
  for (let at = 0; at < 25; at++) client.track({ data: at })
  await until(() => requests.length === 2, 1400, 'two full batches before the time of the third')
  await until(() => client.stats.sent === 25, 5000, 'the rest after its time')
  expect(requests.map(({ events }) => events.length)).toEqual([10, 10, 5])
  expect(requests[0]?.headers['content-type']).toBe('application/x-ndjson')
})

test('a batch ends before it is larger than it may be, and an event that is larger alone is a batch of its own', async () => {
  const { url, requests } = await startAnswers(accept)
  const { client } = startClient({ url, maxBatchBytes: 1024 })
  for (const length of [300, 300, 300, 3000, 300]) client.track({ data: 'ü'.repeat(length / 2) })
  expect(await client.flush()).toBe(true)
  expect(requests.map(({ events }) => events.length)).toEqual([2, 1, 1, 1])
})

test('a large body is compressed, and the service reads it; a small one is not', async () => {
  const server = await startHttp()
  const { client } = startClient({ url: server.url, gzipMinBytes: 1024 })
  const ids = Array.from({ length: 1000 }, (_, at) => client.track({ data: { at, note: 'left at the door' } }))
  await client.flush()
  expect(idsOf(await server.stored())).toEqual(ids)
  const { url, requests } = await startAnswers(accept)
  const other = startClient({ url, gzipMinBytes: 1024 }).client
  for (const length of [3000, 10]) {
    other.track({ data: 'x'.repeat(length) })
    await other.flush()
  }
  expect(requests.map(({ headers }) => headers['content-encoding'])).toEqual(['gzip', undefined])
  expect(Number(requests[0]?.headers['content-length'])).toBeLessThan(1000)
})

test('a service that is shutting down is asked again, not before its Retry-After', async () => {
  const server = await startHttp()
  server.state.draining = true
  const { client, heard } = startClient({ url: server.url })
  const id = client.track({ data: 1 })
  await until(() => heard.retries.length === 1, 5000, 'a first refusal')
  server.state.draining = false
  expect(heard.retries[0]).toMatchObject({ attempt: 1, events: 1, reason: expect.stringContaining('503: shutting') })
  expect(heard.retries[0]?.waitMs).toBeGreaterThanOrEqual(1000)
  expect(client.stats).toMatchObject({ queuedEvents: 1, retries: 1 })
  expect(await client.flush()).toBe(true)
  expect(idsOf(await server.stored())).toEqual([id])
})

test('Retry-After as an HTTP date is waited for', async () => {
  let refusals = 1
  const { url, requests } = await startAnswers((request, response) => {
    if (refusals-- > 0) {
      const date = new Date(Date.now() + 2000).toUTCString() // whole seconds: one to two from now
      response.writeHead(429, { 'retry-after': date }).end()
    } else accept(request, response)
  })
  const { client } = startClient({ url })
  client.track({ data: 1 })
  expect(await client.flush()).toBe(true)
  const [first, second] = requests
  expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThan(900)
  expect(second?.events).toEqual(first?.events)
})

test.each([
  ['500', (response: { writeHead(status: number): { end(): void } }) => response.writeHead(500).end()],
  [
    '200 of something else',
    (response: { writeHead(status: number): { end(text?: string): void } }) => response.writeHead(200).end('hi'),
  ],
  ['a broken connection', (response: { destroy(): void }) => response.destroy()],
])('%s is no acknowledgement: the same events are sent again', async (_, fail) => {
  let failures = 3
  const { url, requests } = await startAnswers((request, response) => {
    if (failures-- > 0) fail(response)
    else accept(request, response)
  })
  const { client, heard } = startClient({ url })
  const ids = [1, 2, 3].map((data) => client.track({ data }))
  expect(await client.flush()).toBe(true)
  expect(requests.map(({ events }) => events.map(({ id }) => id))).toEqual([ids, ids, ids, ids])
  expect(heard.retries.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
  expect(client.stats).toMatchObject({ sent: 3, retries: 3 })
})

test('an answer that does not come in time is one that did not come', async () => {
  let isSilent = true
  const { url } = await startAnswers((request, response) => {
    if (!isSilent) accept(request, response)
    isSilent = false
  })
  const { client, heard } = startClient({ url, requestTimeoutMs: 100 })
  client.track({ data: 1 })
  expect(await client.flush()).toBe(true)
  expect(heard.retries.map(({ reason }) => reason)).toEqual(['no answer: not within 100 ms'])
})

test('a batch with more events than the service takes is divided, and arrives in order', async () => {
  const server = await startHttp({ MAX_REQUEST_EVENTS: '10' })
  const { client, heard } = startClient({ url: server.url })
  const ids = Array.from({ length: 77 }, (_, data) => client.track({ data }))
  expect(await client.flush()).toBe(true)
  expect(idsOf(await server.stored())).toEqual(ids)
  expect(heard.rejected).toEqual([])
  expect(balance(client)).toEqual([77, 77])
})

test('of a batch that is too large only the event that is too large is rejected, and given back', async () => {
  const server = await startHttp({ MAX_BODY_BYTES: '1024' })
  const { client, heard } = startClient({ url: server.url })
  const small = Array.from({ length: 20 }, (_, data) => client.track({ data }))
  const large = client.track({ data: 'x'.repeat(2000) })
  const after = client.track({ data: 'after' })
  expect(await client.flush()).toBe(true)
  expect(idsOf(await server.stored())).toEqual([...small, after])
  expect(heard.rejected.map(({ events, problem }) => [events.map(({ id }) => id), problem.status])).toEqual([
    [[large], 413],
  ])
  expect(heard.rejected[0]?.events[0]?.data).toBe('x'.repeat(2000))
  expect(heard.rejected[0]?.problem).toMatchObject({ title: 'Body too large' })
})

test('an event that is invalid costs only itself: the reason is the one of the service', async () => {
  const server = await startHttp()
  const { client, heard } = startClient({ url: server.url })
  const good = [client.track({ data: 1 }), client.track({ data: 2 })]
  const bad = [client.track({ type: '', data: 3 }), client.track({ data: 4, Bad: true })]
  expect(await client.flush()).toBe(true)
  expect(idsOf(await server.stored())).toEqual(good)
  expect(heard.rejected).toHaveLength(1)
  expect(heard.rejected[0]?.events.map(({ id }) => id)).toEqual(bad)
  expect(heard.rejected[0]?.problem).toMatchObject({
    status: 422,
    detail: 'type must not be empty',
    rejected: [
      { index: 0, reason: 'type must not be empty' },
      { index: 1, reason: expect.stringContaining('not an attribute name') },
    ],
  })
  client.track({ type: '', data: 5 })
  await client.flush()
  expect(heard.rejected[1]?.problem.status).toBe(422)
  expect(client.stats).toMatchObject({ tracked: 5, sent: 2, rejected: 3 })
})

test('the right key is sent; with a wrong one everything comes back with the reason, and the key is not in it', async () => {
  const server = await startHttp({ API_KEYS: 'shop:correct-horse-battery' })
  const right = startClient({ url: server.url, key: 'correct-horse-battery' })
  right.client.track({ data: 1 })
  await right.client.flush()
  expect(right.client.stats.sent).toBe(1)
  const wrong = startClient({ url: server.url, key: 'wrong-horse' })
  const ids = [wrong.client.track({ data: 1 }), wrong.client.track({ data: 2 })]
  await wrong.client.flush()
  const [rejection] = wrong.heard.rejected
  expect(rejection?.events.map(({ id }) => id)).toEqual(ids)
  expect(rejection?.problem).toMatchObject({ status: 401, title: 'API key or token missing or invalid' })
  expect(JSON.stringify(wrong.heard)).not.toContain('wrong-horse')
})

test.each([403, 404, 405, 410, 415, 501])('%d is an answer for good, also from a proxy', async (status) => {
  const { url, requests } = await startAnswers((_, response) => response.writeHead(status).end('<h1>no</h1>'))
  const { client, heard } = startClient({ url })
  for (const data of [1, 2]) client.track({ data })
  expect(await client.flush()).toBe(true)
  expect(requests).toHaveLength(1)
  expect(heard.rejected[0]).toMatchObject({ events: [{ data: 1 }, { data: 2 }], problem: { status } })
  expect(heard.rejected[0]?.problem.detail).toContain('<h1>no</h1>')
})

test('a redirect is not followed: the events come back with where it leads', async () => {
  const { url } = await startAnswers((_, response) => response.writeHead(301, { location: 'https://new/' }).end())
  const { client, heard } = startClient({ url })
  client.track({ data: 1 })
  await client.flush()
  expect(heard.rejected[0]?.problem.detail).toBe('the address redirects to https://new/: set url to where Millrace is')
})

test('valid events that a part of the log did not take are sent again, and only they', async () => {
  let refusals = 1
  const { url, requests } = await startAnswers(({ events }, response) => {
    const rejected = refusals-- > 0 ? [{ index: 1, reason: 'the partition has no leader', retryable: true }] : []
    response.writeHead(202).end(JSON.stringify({ accepted: events.length - rejected.length, rejected }))
  })
  const { client, heard } = startClient({ url })
  const ids = [1, 2, 3].map((data) => client.track({ data }))
  expect(await client.flush()).toBe(true)
  expect(requests.map(({ events }) => events.map(({ id }) => id))).toEqual([ids, [ids[1]]])
  expect(heard.retries[0]).toMatchObject({ reason: 'a part of the log did not take them' })
  expect(balance(client)).toEqual([3, 3])
})

test('a path of the address stays in front', async () => {
  const { url, requests } = await startAnswers(accept)
  const { client } = startClient({ url: `${url}/eu/events/` })
  client.track({ data: 1 })
  await client.flush()
  expect(requests[0]?.path).toBe('/eu/events/v1/events')
})

test('each event has the trace that is current when it is tracked, or its own', async () => {
  const server = await startHttp()
  const trace = (digit: number) => `00-${String(digit).repeat(32)}-${String(digit).repeat(16)}-01`
  let current: string | undefined = trace(1)
  const { client } = startClient({ url: server.url, traceparent: () => current })
  client.track({ data: 1 })
  current = trace(2)
  client.track({ data: 2 })
  client.track({ data: 3, traceparent: trace(3) })
  current = undefined
  client.track({ data: 4 })
  await client.flush()
  const traces = (await server.stored()).map((line) => JSON.parse(line).traceparent)
  expect(traces).toEqual([trace(1), trace(2), trace(3), undefined])
})

test('a full queue drops the newest event, says so, and keeps the rest for when the service is back', async () => {
  const server = await startHttp()
  server.state.draining = true
  const { client, heard } = startClient({ url: server.url, maxQueueEvents: 10 })
  const ids = Array.from({ length: 15 }, (_, data) => client.track({ data }))
  expect(ids.map((id) => id !== undefined)).toEqual(ids.map((_, at) => at < 10))
  expect(heard.dropped.map(({ events, reason }) => [events[0]?.data, reason])).toEqual(
    [10, 11, 12, 13, 14].map((data) => [data, 'full']),
  )
  server.state.draining = false
  expect(await client.flush()).toBe(true)
  expect(idsOf(await server.stored())).toEqual(ids.slice(0, 10))
  expect(client.track({ data: 'there is room again' })).toBeDefined()
  expect(client.stats).toMatchObject({ tracked: 16, sent: 10, dropped: 5, queuedEvents: 1 })
})

test('a queue is full by its bytes as well, and what is larger than all of it is named', async () => {
  const { url } = await startAnswers(() => undefined)
  const { client, heard } = startClient({ url, maxQueueBytes: 4096 })
  for (let at = 0; at < 6; at++) client.track({ data: 'x'.repeat(800) })
  client.track({ data: 'x'.repeat(5000) })
  expect(heard.dropped.map(({ reason }) => reason)).toEqual(['full', 'full', 'too-large'])
  expect(client.stats.queuedBytes).toBeLessThanOrEqual(4096)
  expect(client.stats.memoryBytes).toBe(client.stats.queuedBytes)
})

test('track never throws, whatever it is given and whatever the callbacks do', async () => {
  const { url } = await startAnswers(accept)
  const complaints = vi.spyOn(console, 'error').mockReturnValue()
  const onDropped = vi.fn(() => {
    throw new Error('callback')
  })
  const { client } = startClient({ url, onDropped })
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  const throwing = {
    get id(): string {
      throw new Error('getter')
    },
  }
  const odd = [
    { data: cycle },
    { data: 1n },
    { toJSON: () => undefined },
    throwing,
    null,
    undefined,
    'text',
    7,
    [],
    () => 1,
    Symbol('s'),
  ]
  for (const event of odd) expect(client.track(event as object)).toBeUndefined()
  expect(onDropped).toHaveBeenCalledTimes(odd.length)
  expect(onDropped.mock.calls.map(([, reason]: unknown[]) => reason)).toEqual(odd.map(() => 'invalid'))
  expect(complaints).toHaveBeenCalledTimes(odd.length)
  complaints.mockRestore()
})

test('nobody listens: what is lost is said on the console, and a flood of it in one line', async () => {
  const complaints = vi.spyOn(console, 'error').mockReturnValue()
  const { url } = await startAnswers((_, response) => response.writeHead(403).end())
  const client = createClient({ url, maxQueueEvents: 2, maxBatchAgeMs: 0 })
  for (let at = 0; at < 100; at++) client.track({ data: at })
  await client.close()
  expect(complaints.mock.calls.map(([text]) => text)).toEqual([
    'millrace/client: 1 events dropped: full',
    expect.stringMatching(/^millrace\/client: 2 events rejected: 403: no answer of Millrace/),
  ])
  complaints.mockRestore()
})

test('close sends what is queued, takes no more, and says that everything was answered', async () => {
  const server = await startHttp()
  const { client, heard } = startClient({ url: server.url, maxBatchAgeMs: 60_000 })
  const id = client.track({ data: 1 })
  expect(await client.close()).toBe(true)
  expect(idsOf(await server.stored())).toEqual([id])
  expect(client.track({ data: 2 })).toBeUndefined()
  expect(heard.dropped).toMatchObject([{ events: [{ data: 2 }], reason: 'closed' }])
  expect(await client.close()).toBe(true)
})

test('close ends after its time, and gives back what was not answered', async () => {
  const { url } = await startAnswers(() => undefined)
  const { client, heard } = startClient({ url, maxBatchEvents: 2, concurrency: 2 })
  const ids = Array.from({ length: 7 }, (_, data) => client.track({ data }))
  const startedAt = performance.now()
  expect(await client.flush({ timeoutMs: 50 })).toBe(false)
  expect(await client.close({ timeoutMs: 50 })).toBe(false)
  expect(performance.now() - startedAt).toBeLessThan(3000)
  const lost = heard.dropped.flatMap(({ events, reason }) => events.map(({ id }) => [id, reason]))
  expect(lost.toSorted()).toEqual(ids.map((id) => [id, 'closed']).toSorted())
  expect(balance(client)).toEqual([7, 7])
})

test.each([
  [{ url: 'ftp://x' }, /^url must be an http or https address/],
  [{ url: 'events' }, /^url must be/],
  [{ url: 'https://user:secret@x' }, /^url must be an http or https address without a password, such as/],
  [{ url: 'http://x', maxQueueEvents: 0 }, 'maxQueueEvents must be a whole number from 1 to 10000000, not 0'],
  [{ url: 'http://x', maxBatchAgeMs: 1.5 }, 'maxBatchAgeMs must be a whole number from 0 to 3600000, not 1.5'],
  [{ url: 'http://x', gzipMinBytes: Number.NaN }, 'gzipMinBytes must be 0 or more, not NaN'],
  [{ url: 'http://x', key: 'a key' }, /^key must be printable ASCII without spaces/],
])('%j is refused when the client is made, by its name', (options, message) => {
  expect(() => createClient(options)).toThrow(message)
})
