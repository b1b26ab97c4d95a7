/** The public listener on threads: what a client sees, and what is counted, is what one thread gives. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type Agent, request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ErrorCode, MillraceError } from '../../app/errors.ts'
import { settleGroup } from '../../app/http/thread-messages.ts'
import { GroupWrite } from '../../app/http/threads.ts'
import { Known, type Lost, Write } from '../../app/write.ts'
import { raw } from '../support/http.ts'
import { startLoad } from '../support/load.ts'
import {
  caughtUp,
  deliveredIn,
  expectConserved,
  post,
  type Service,
  scrape,
  startService,
  until,
} from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const TWO = { WORKERS: '2' }

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** Over a connection of its own, so that the kernel chooses a thread. */
function postAlone(
  { url }: Pick<Service, 'url'>,
  body: string,
  headers: Record<string, string> = {},
  agent: Agent | false = false,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', agent, headers: { 'content-type': 'application/json', ...headers } }
    const sending = request(`${url}/v1/events`, options, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }))
    })
    sending.on('error', reject)
    sending.end(body)
  })
}

test('events over many connections all arrive once, and are counted exactly', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory, TWO)
  const load = startLoad(service.url, { connections: 32, batch: 5 })
  await until(() => load.acknowledged.size > 3000, 15_000, 'events')
  await load.stop()
  // Some that are not stored, on each thread.
  for (let at = 0; at < 16; at++) {
    expect((await postAlone(service, '[{"data":1},{"id":"x"}]')).body).toMatchObject({ accepted: 1 })
    expect((await postAlone(service, '{"id":1}')).status).toBe(422)
    expect((await postAlone(service, '{"data":')).status).toBe(400)
  }
  await caughtUp(service, ['file'])
  const samples = await expectConserved(service, ['file'])
  expect(samples.get('millrace_events_received_total')).toBe(load.acknowledged.size + 16 * 3)
  expect(samples.get('millrace_events_committed_total')).toBe(load.acknowledged.size + 16)
  expect(samples.get('millrace_events_rejected_total{reason="invalid"}')).toBe(32)
  expect(samples.get('millrace_requests_refused_total{reason="malformed"}')).toBe(16)
  expect(samples.get('millrace_requests_refused_total{reason="no_valid_event"}')).toBe(16)
  expect(samples.get('millrace_write_duration_seconds_count')).toBe(load.acknowledged.size / 5 + 16)
  expect(samples.get('millrace_events_in_flight')).toBe(0)
  expect(samples.get('millrace_channel_events')).toBe(0)
  expect(await service.stop()).toBe(0)
  const ids = deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  expect([...load.acknowledged].filter((id) => !new Set(ids).has(id))).toEqual([])
})

test('order per key holds for a client that waits for its answers and changes its connection each time', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory, TWO)
  const clients = Array.from({ length: 8 }, async (_, client) => {
    for (let seq = 0; seq < 50; seq++) {
      const event = { id: `${client}-${seq}`, subject: `c${client}`, data: seq }
      expect((await postAlone(service, JSON.stringify(event))).status).toBe(202)
    }
  })
  await Promise.all(clients)
  expect(await service.stop()).toBe(0)
  const bySubject = Map.groupBy(deliveredIn(join(directory, 'data/delivered')), ({ subject }) => subject)
  expect(bySubject.size).toBe(8)
  for (const events of bySubject.values()) {
    expect(events.map(({ data }) => data)).toEqual(Array.from({ length: 50 }, (_, seq) => seq))
  }
})

test('after a kill under load, every acknowledged event is there', async () => {
  const directory = temporaryDirectory()
  const killed = await startService(directory, TWO)
  const load = startLoad(killed.url, { connections: 16, batch: 3 })
  await until(() => load.acknowledged.size > 1000, 15_000, 'events')
  await killed.stop('SIGKILL')
  await load.stop()
  const service = await startService(directory, TWO)
  await caughtUp(service, ['file'])
  await expectConserved(service, ['file'])
  expect(await service.stop()).toBe(0)
  const ids = new Set(deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id))
  expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
  expect([...ids].filter((id) => !load.sent.has(id))).toEqual([])
})

test('SIGTERM under load: readiness fails first, every acknowledged event is delivered, exit code 0', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory, { ...TWO, SHUTDOWN_GRACE_MS: '800' })
  const load = startLoad(service.url, { connections: 16, batch: 10 })
  await until(() => load.acknowledged.size > 1000, 15_000, 'events')
  const stopped = service.stop('SIGTERM')
  await until(async () => (await fetch(`${service.url}/health/ready`)).status === 503, 600, 'not ready')
  expect((await post(service, { data: 1 })).status).toBe(202)
  expect(await stopped, service.output()).toBe(0)
  await load.stop()
  const ids = new Set(deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id))
  expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
  expect([...load.statuses.keys()].filter((status) => ![202, 503, 0].includes(status))).toEqual([])
})

test('an event that is sent to several threads at once is stored once, and each request is told of its own', async () => {
  const service = await startService(temporaryDirectory(), { ...TWO, DEDUPLICATION_WINDOW_EVENTS: '1000' })
  const order = (id: number) => ({ specversion: '1.0', id: `o-${id}`, source: '/shop', type: 'order', data: { id } })
  const raced = await Promise.all(
    Array.from({ length: 50 }, (_, at) => postAlone(service, JSON.stringify([order(1), order(100 + at)]))),
  )
  expect(raced.map(({ body }) => body.accepted)).toEqual(Array.from({ length: 50 }, () => 2))
  expect(raced.filter(({ body }) => body.duplicates === undefined).length).toBe(1)
  expect(raced.filter(({ body }) => body.duplicates === 1).length).toBe(49)
  const again = await postAlone(service, JSON.stringify([order(1), order(200), order(101)]))
  expect(again.body).toEqual({ accepted: 3, duplicates: 2 })
  await caughtUp(service, ['file'])
  const samples = await expectConserved(service, ['file'])
  expect(samples.get('millrace_events_committed_total')).toBe(52)
  expect(samples.get('millrace_events_rejected_total{reason="duplicate"}')).toBe(51)
})

test('limits of a client are granted once, not once a thread', async () => {
  const keys = { API_KEYS: 'one:one-key-0123456789,two:two-key-0123456789' }
  const limited = await startService(temporaryDirectory(), { ...TWO, ...keys, QUOTA_EVENTS_PER_SECOND: '1' })
  const as = (key: string) => ({ authorization: `Bearer ${key}-key-0123456789` })
  // A bucket of ten, which fills by one while these are sent, at most.
  const answers: Answer[] = []
  for (let at = 0; at < 16; at++) answers.push(await postAlone(limited, '{"data":1}', as('one')))
  const accepted = answers.filter(({ status }) => status === 202).length
  expect(accepted).toBeGreaterThanOrEqual(10)
  expect(accepted).toBeLessThanOrEqual(12)
  expect(answers.filter(({ status }) => ![202, 429].includes(status))).toEqual([])
  const many = JSON.stringify(Array.from({ length: 11 }, () => ({ data: 1 })))
  expect((await postAlone(limited, many, as('two'))).status).toBe(413)
  expect((await postAlone(limited, '{"data":1}', as('two'))).status).toBe(202)

  const hurried = await startService(temporaryDirectory(), { ...TWO, RATE_LIMIT_REQUESTS_PER_SECOND: '20' })
  const startedAt = performance.now()
  const burst = await Promise.all(Array.from({ length: 60 }, () => postAlone(hurried, '{"data":1}')))
  const windows = Math.ceil((performance.now() - startedAt) / 1000)
  const passed = burst.filter(({ status }) => status === 202).length
  expect(passed).toBeGreaterThanOrEqual(20)
  expect(passed).toBeLessThanOrEqual(20 * (windows + 1))
  expect(burst.find(({ status }) => status === 429)?.body).toMatchObject({ type: 'urn:millrace:problem:over-quota' })
})

test('what is refused is refused as by one thread', async () => {
  const bodies: readonly (readonly [string, Record<string, string>])[] = [
    ['{"data":', {}],
    ['{"id":1}', {}],
    ['x', { 'content-type': 'text/plain' }],
    ['x', { 'content-encoding': 'gzip' }],
    [`{"data":"${'x'.repeat(2000)}"}`, {}],
    ['[{"data":1},{"data":2},{"data":3}]', {}],
  ]
  const environment = { MAX_BODY_BYTES: '1024', MAX_REQUEST_EVENTS: '2' }
  const answers: unknown[] = []
  for (const workers of ['1', '2']) {
    const service = await startService(temporaryDirectory(), { ...environment, WORKERS: workers })
    answers.push(await Promise.all(bodies.map(([body, headers]) => postAlone(service, body, headers))))
  }
  expect(answers[1]).toEqual(answers[0])
  expect((answers[0] as Answer[]).map(({ status }) => status)).toEqual([400, 422, 415, 400, 413, 413])
})

test('what never becomes a request is refused in each thread, and counted once', async () => {
  const service = await startService(temporaryDirectory(), TWO)
  const refused = [
    ['NONSENSE\r\n\r\n', 400],
    ['GET / HTTP/2.0\r\nHost: localhost\r\n\r\n', 505],
    ['POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 501],
    ['GET /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 405],
    ['POST /v1/events HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n', 403],
    ['POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n', 413],
  ] as const
  for (const [bytes, status] of refused) {
    const answers = await Promise.all(Array.from({ length: 8 }, () => raw(service, bytes)))
    for (const answer of answers)
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} [^{]*application/problem\\+json`))
  }
  const samples = await scrape(service)
  const reasons = ['malformed', 'unsupported_http_version', 'unsupported_transfer_coding', 'method_not_allowed']
  for (const reason of [...reasons, 'forbidden', 'body_too_large']) {
    expect([reason, samples.get(`millrace_requests_refused_total{reason="${reason}"}`)]).toEqual([reason, 8])
  }
})

test.each(['1', '2'])('a full log, WORKERS=%s: 503 with nothing kept, and saturation shows it', async (workers) => {
  const service = await startService(temporaryDirectory(), {
    WORKERS: workers,
    SINKS: 'http',
    HTTP_SINK_URL: 'http://127.0.0.1:9/',
    LOG_MAX_BYTES: String(1024 * 1024),
    DEDUPLICATION_WINDOW_EVENTS: '100000',
  })
  const known = { specversion: '1.0', id: 'known', source: '/shop', type: 'order' }
  expect((await postAlone(service, JSON.stringify(known))).status).toBe(202)
  const load = startLoad(service.url, { connections: 8, batch: 50, dataLength: 500, remember: false })
  await until(() => (load.statuses.get(503) ?? 0) > 50, 15_000, 'the log is full')
  await load.stop()
  const answers = await Promise.all(
    // One that is there already counts with those that are refused beside it, and not once more.
    Array.from({ length: 16 }, () => postAlone(service, JSON.stringify([known, { data: 'x'.repeat(100_000) }]))),
  )
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 503))
  expect(answers[0]?.body).toMatchObject({ type: 'urn:millrace:problem:log-full', status: 503 })
  const samples = await expectConserved(service, ['http'])
  expect(samples.get('millrace_events_rejected_total{reason="log_full"}')).toBeGreaterThan(50)
  expect(samples.get('millrace_saturation_ratio')).toBeGreaterThan(0.6)
})

test('a channel that is full in one thread is refused there with 503', async () => {
  const service = await startService(temporaryDirectory(), { ...TWO, CHANNEL_CAPACITY_EVENTS: '20' })
  const load = startLoad(service.url, { connections: 64, batch: 10, remember: false })
  await until(() => (load.statuses.get(503) ?? 0) > 20, 15_000, 'the channel is full')
  await load.stop()
  const samples = await expectConserved(service, [])
  expect(samples.get('millrace_events_rejected_total{reason="channel_full"}')).toBeGreaterThan(0)
  expect([...load.statuses.keys()].sort()).toEqual([202, 503])
  expect((await postAlone(service, JSON.stringify(Array(11).fill({ data: 1 })))).status).toBe(413)
})

test('bodies that fill a channel each are taken or refused for now, never for good', async () => {
  const limits = { MAX_BODY_BYTES: '1024', CHANNEL_CAPACITY_BYTES: '2048', CHANNEL_CAPACITY_EVENTS: '2' }
  const service = await startService(temporaryDirectory(), { ...TWO, ...limits })
  const body = `{"data":"${'x'.repeat(1024 - 11)}"}`
  expect(body.length).toBe(1024)
  const small = '{"data":1}'
  const statuses = new Set<number>()
  for (let round = 0; round < 20; round++) {
    const bodies = Array.from({ length: 20 }, (_, at) => (at % 3 === 0 ? small : body))
    for (const { status } of await Promise.all(bodies.map((text) => postAlone(service, text)))) statuses.add(status)
  }
  expect([...statuses].sort().filter((status) => status !== 503)).toEqual([202])
  await expectConserved(service, [])
})

test('a port that another service has is refused, although that one would share it', async () => {
  const service = await startService(temporaryDirectory(), TWO)
  const { port } = new URL(service.url)
  await expect(startService(temporaryDirectory(), { ...TWO, PORT: port })).rejects.toThrow(
    /ended with 2[\s\S]*PORT: port/,
  )
  expect((await scrape(service)).get('millrace_events_in_flight')).toBe(0)
})

test('a thread that breaks ends the process with exit code 1, after what was acknowledged is delivered', async () => {
  const directory = temporaryDirectory()
  const breaking = [
    `import{isMainThread}from'node:worker_threads'`,
    `import{existsSync}from'node:fs'`,
    `isMainThread||setInterval(()=>{if(existsSync('break'))throw Error('broken')},50)`,
  ].join(';')
  const service = await startService(directory, {
    ...TWO,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(breaking)}`,
  })
  expect((await post(service, { data: 1 })).status).toBe(202)
  const exit = once(service.process, 'exit')
  writeFileSync(join(directory, 'break'), '')
  const [code] = await exit
  expect(code).toBe(1)
  expect(service.output()).toContain('unexpected error: stopping')
  expect(deliveredIn(join(directory, 'data/delivered')).length).toBe(1)
})

describe('what became of a group', () => {
  /** Three requests of 2, 3 and 1 events, as one thread sends them. @returns what each is told. */
  function settled(become: (group: GroupWrite) => void): unknown[] {
    const told: unknown[] = []
    const writes = [2, 3, 1].map((count, at) => {
      const write: Write = new Write(Buffer.from('{}'), count, (error, lost) => {
        told[at] = { error, lost: lost.map(({ index, error }) => [index, error.code]), duplicates: write.duplicates }
      })
      return write
    })
    const sent = {
      kind: 'group',
      payload: new Uint8Array(2),
      count: 6,
      known: Known.NOTHING,
      keys: undefined,
      identities: undefined,
    } as const
    become(new GroupWrite(sent, (outcome) => settleGroup(writes, structuredClone(outcome))))
    return told
  }
  const lost = (index: number, code: ErrorCode): Lost => ({ batch: 0, index, error: new MillraceError(code, 'gone') })
  const kept = { error: undefined, lost: [], duplicates: [] }

  test('all is durable', () => {
    expect(settled((group) => group.settle([]))).toEqual([kept, kept, kept])
  })

  test('each request learns which of its own events are lost, and one that lost all of them failed', () => {
    const told = settled((group) =>
      group.settle([lost(5, 'LOG_UNAVAILABLE'), lost(3, 'CHANNEL_ITEM_TOO_LARGE'), lost(2, 'LOG_UNAVAILABLE')]),
    )
    const some = [
      [0, 'LOG_UNAVAILABLE'],
      [1, 'CHANNEL_ITEM_TOO_LARGE'],
    ]
    const failure = new MillraceError('LOG_UNAVAILABLE', 'gone')
    expect(told).toEqual([kept, { ...kept, lost: some }, { ...kept, error: failure }])
  })

  test('what can never be stored is no retryable error because of another request in the group', () => {
    const told = settled((group) =>
      group.settle(
        [0, 1]
          .map((at) => lost(at, 'CHANNEL_ITEM_TOO_LARGE'))
          .concat([2, 3, 4, 5].map((at) => lost(at, 'LOG_UNAVAILABLE'))),
      ),
    )
    expect(told).toMatchObject([
      { error: { code: 'CHANNEL_ITEM_TOO_LARGE' } },
      { error: { code: 'LOG_UNAVAILABLE' } },
      { error: { code: 'LOG_UNAVAILABLE' } },
    ])
  })

  test('each request learns which of its own events were there already', () => {
    const told = settled((group) => {
      group.duplicates = [1, 2, 4]
      group.settle([])
    })
    expect(told).toEqual([{ ...kept, duplicates: [1] }, { ...kept, duplicates: [0, 2] }, kept])
  })

  test('an error keeps its code and its message, one that is not ours its message', () => {
    const full = settled((group) => group.fail(new MillraceError('LOG_FULL', 'no room')))
    expect(full).toMatchObject(Array(3).fill({ error: { code: 'LOG_FULL', message: 'no room', retryable: true } }))
    const [told] = settled((group) => group.fail(new TypeError('a bug')))
    expect(told).toMatchObject({ error: { message: 'a bug' } })
    expect((told as { error: unknown }).error).not.toBeInstanceOf(MillraceError)
  })
})
