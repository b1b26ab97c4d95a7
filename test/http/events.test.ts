import { hash } from 'node:crypto'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { MillraceError } from '../../app/errors.ts'
import { HEADERS_TIMEOUT_MS, KEEP_ALIVE_TIMEOUT_MS } from '../../app/http/server.ts'
import { post, raw, startHttp } from '../support/http.ts'
import { until } from '../support/service.ts'

const NDJSON = { 'content-type': 'application/x-ndjson' }

async function expectProblem(response: Response, status: number, code: string, detail = /./): Promise<void> {
  const body = (await response.json()) as { type: string; detail: string }
  expect([response.status, body.type], body.detail).toEqual([status, `urn:millrace:problem:${code}`])
  expect(response.headers.get('content-type')).toContain('application/problem+json')
  expect(body).toMatchObject({ status, title: expect.any(String), detail: expect.stringMatching(detail) })
  expect(response.headers.has('retry-after')).toBe(status === 503 || status === 429)
}

describe('what binary mode has elsewhere than in headers', () => {
  test.each(['ce-data', 'ce-data_base64', 'ce-datacontenttype'])(
    '%s is refused with where it belongs',
    async (header) => {
      const ce = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't', [header]: 'dGV4dA==' }
      const http = await startHttp()
      for (const body of ['{}', undefined]) {
        await expectProblem(
          await post(http, body as string, { ...ce, 'content-type': 'application/json' }),
          400,
          'malformed',
          /^header ce-data\w*: in binary mode /,
        )
      }
      expect(await http.stored()).toEqual([])
    },
  )
})

describe('what no route is for', () => {
  test('its body is not read: nobody is asked for a key there', async () => {
    const http = await startHttp({ API_KEYS: 'me:a-key-of-16-letters', IN_PROGRESS_MAX_BYTES: '1048576' })
    const head =
      'POST /nope HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n'
    const answers = await Promise.all(Array.from({ length: 20 }, () => raw(http, `${head}not json`, { end: true })))
    for (const answer of answers) expect(answer).toMatch(/^HTTP\/1.1 404 .*urn:millrace:problem:not-found/s)
  })

  test('a path that cannot be decoded gets a problem document', async () => {
    const http = await startHttp()
    const response = await fetch(`${http.url}/%zz`)
    expect([response.status, response.headers.get('content-type')]).toEqual([
      400,
      expect.stringContaining('application/problem+json'),
    ])
    expect(await response.json()).toMatchObject({ status: 400, title: 'Bad request' })
  })
})

describe('accepted', () => {
  test('one event: durable when answered, the list of rejected ones absent', async () => {
    const http = await startHttp()
    const response = await post(http, '{"id":1,"data":"Event 1"}')
    expect([response.status, await response.text()]).toEqual([202, '{"accepted":1}'])
    expect(await http.stored()).toEqual(['{"id":1,"data":"Event 1"}'])
  })

  test('some of many: the others with index and reason', async () => {
    const http = await startHttp()
    const response = await post(http, '{"data":1}\nnot json\n{"data":3}\n', NDJSON)
    expect([response.status, await response.json()]).toEqual([
      202,
      { accepted: 2, rejected: [{ index: 1, reason: expect.stringMatching(/malformed JSON at position 0/) }] },
    ])
    expect([http.counts.receivedTotal, http.counts.rejectedTotal.get('invalid'), http.counts.inFlight]).toEqual([
      3, 1, 0,
    ])
  })

  test('the trace of the request goes on with its events', async () => {
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const http = await startHttp()
    const response = await post(http, '{"data":1}\n{"data":2}', { ...NDJSON, traceparent: trace })
    expect(response.status).toBe(202)
    for (const line of await http.stored()) expect(JSON.parse(line).traceparent).toBe(trace)
    const broken = await post(http, '{"data":3}', { traceparent: 'not-a-trace' })
    expect(broken.status).toBe(202)
    expect(JSON.parse((await http.stored())[2] ?? '')).toEqual({ data: 3 })
  })

  test('what is logged about a request has its trace', async () => {
    const http = await startHttp({}, () => ({ append: () => Promise.reject(new Error('a bug')) }))
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    expect((await post(http, '{"data":1}', { traceparent: trace })).status).toBe(500)
    expect(http.logged.some((line) => JSON.parse(line).traceId === '4bf92f3577b34da6a3ce929d0e0e4736')).toBe(true)
  })

  test('from memory only when asked for, and then the answer says so', async () => {
    const http = await startHttp({ ACK: 'memory' })
    expect(await (await post(http, '{"data":1}')).json()).toEqual({ accepted: 1, ack: 'memory' })
    await until(async () => (await http.stored()).length === 1, 1000, 'written all the same')
  })

  test('an empty array is a batch of no events', async () => {
    const http = await startHttp({ QUOTA_EVENTS_PER_SECOND: '1' })
    for (const type of ['application/json', 'application/cloudevents-batch+json']) {
      const response = await post(http, '[]', { 'content-type': type })
      expect([response.status, await response.json()]).toEqual([202, { accepted: 0 }])
    }
    expect(await http.stored()).toEqual([])
  })

  test('binary mode: headers in UTF-8, as they come over the wire', async () => {
    const http = await startHttp()
    const head = [
      'ce-specversion: 1.0',
      'ce-id: 1',
      'ce-source: /s',
      'ce-type: t',
      'ce-subject: é€😀',
      'content-length: 0',
    ]
    const request = ['POST /v1/events HTTP/1.1', 'host: localhost', 'connection: close', ...head].join('\r\n')
    expect(await raw(http, `${request}\r\n\r\n`)).toMatch(/^HTTP\/1.1 202 /)
    expect((await http.stored()).map((line) => JSON.parse(line))).toMatchObject([{ subject: 'é€😀' }])
  })

  test.each([
    ['gzip', promisify(zlib.gzip)],
    ['deflate', promisify(zlib.deflate)],
    ['deflate', promisify(zlib.deflateRaw)],
    ['br', promisify(zlib.brotliCompress)],
    ['zstd', promisify(zlib.zstdCompress)],
    ['identity', async (body: Buffer) => body],
    ['gzip, br', async (body: Buffer) => zlib.brotliCompressSync(zlib.gzipSync(body))],
  ] as [string, (body: Buffer) => Promise<Buffer<ArrayBuffer>>][])('encoded as %s', async (encoding, encode) => {
    const http = await startHttp()
    const body = await encode(Buffer.from('{"data":1}\n{"data":2}'))
    expect((await post(http, body, { ...NDJSON, 'content-encoding': encoding })).status).toBe(202)
    expect(await http.stored()).toEqual(['{"data":1}', '{"data":2}'])
  })
})

describe('refused for good', () => {
  test.each([
    ['malformed JSON', '{"data"', {}, 400, 'malformed', /position 7/],
    ['an empty body', '', {}, 400, 'malformed', /empty/],
    ['no acceptable event', '[{"id":1},{"id":2}]', {}, 422, 'no-valid-event', /event 0: data is missing/],
    [
      'an unknown type',
      'a=1',
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported-type',
      /use application\/json/,
    ],
    [
      'an unknown encoding',
      '{"data":1}',
      { 'content-encoding': 'compress' },
      415,
      'unsupported-encoding',
      /gzip, deflate, br, zstd/,
    ],
    [
      'two encodings that it has not',
      '{"data":1}',
      { 'content-encoding': 'gzip, br' },
      400,
      'malformed',
      /not valid br/,
    ],
    ['not what the encoding says', '{"data":1}', { 'content-encoding': 'gzip' }, 400, 'malformed', /not valid gzip/],
    ['constructor as encoding', '{"data":1}', { 'content-encoding': 'constructor' }, 415, 'unsupported-encoding', /./],
  ])('%s', async (_name, body, headers, status, code, detail) => {
    const http = await startHttp()
    await expectProblem(await post(http, body, headers as Record<string, string>), status, code, detail)
    expect(await http.stored()).toEqual([])
  })

  test('a 422 lists every reason', async () => {
    const response = await post(await startHttp(), '[{"id":1},{"data":1,"time":"now"}]')
    expect(await response.json()).toMatchObject({
      rejected: [
        { index: 0, reason: expect.stringMatching(/^data/) },
        { index: 1, reason: expect.stringMatching(/^time/) },
      ],
    })
  })

  test('an event that grows past the limit when it is put into JSON: a control character has six bytes', async () => {
    const http = await startHttp({ MAX_BODY_BYTES: '20000' })
    const attributes = { 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 't' }
    const headers = { ...attributes, 'content-type': 'text/plain' }
    expect((await post(http, '\u0001'.repeat(6000), headers)).status).toBe(202)
    await expectProblem(
      await post(http, '\u0001'.repeat(8000), headers),
      413,
      'body-too-large',
      /as they are stored, the events have 480\d\d bytes, the limit is 40000/,
    )
  })

  test('what is received is what is stored, so that nothing grows: 1e20 stays four characters', async () => {
    const http = await startHttp({ MAX_BODY_BYTES: '20000' })
    const numbers = `{"data":[${'1e20,'.repeat(3000)}1]}`
    expect((await post(http, numbers)).status).toBe(202)
    expect((await post(http, `[${numbers}]`)).status).toBe(202)
  })

  test('what the log can never hold', async () => {
    const http = await startHttp({ LOG_MAX_BYTES: '262144' })
    const body = JSON.stringify({ data: 'x'.repeat(300_000) })
    await expectProblem(await post(http, body), 413, 'body-too-large', /the limit is 261120: send fewer/)
  })

  test('a body over the limit, with its length and chunked', async () => {
    const http = await startHttp({ MAX_BODY_BYTES: '2000' })
    const body = JSON.stringify({ data: 'x'.repeat(3000) })
    await expectProblem(await post(http, body), 413, 'body-too-large')
    const chunks = new ReadableStream({
      start: (stream) => {
        for (let at = 0; at < body.length; at += 500) stream.enqueue(Buffer.from(body.slice(at, at + 500)))
        stream.close()
      },
    })
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: chunks, duplex: 'half' }
    await expectProblem(await fetch(`${http.url}/v1/events`, init as RequestInit), 413, 'body-too-large')
    expect(await http.stored()).toEqual([])
  })

  test.each([
    ['gzip', zlib.gzipSync],
    ['deflate', zlib.deflateSync],
    ['deflate', zlib.deflateRawSync],
    ['br', zlib.brotliCompressSync],
    ['zstd', zlib.zstdCompressSync],
  ])('a bomb of %s is stopped at the limit', async (encoding, compress) => {
    const http = await startHttp()
    const bomb = compress(Buffer.alloc(200 * 1024 * 1024, 0x20))
    const before = process.memoryUsage.rss()
    await expectProblem(
      await post(http, bomb, { 'content-encoding': encoding }),
      413,
      'body-too-large',
      /inflates to more than 1048576/,
    )
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024)
  })

  test('an encoding that is not supported: the answer names those that are', async () => {
    const http = await startHttp()
    const response = await post(http, '{"data":1}', { 'content-encoding': 'compress' })
    expect(response.headers.get('accept-encoding')).toBe('gzip, deflate, br, zstd')
    await expectProblem(response, 415, 'unsupported-encoding', /use gzip, deflate, br, zstd/)
    expect(await http.stored()).toEqual([])
  })

  test('a truncated encoding', async () => {
    const http = await startHttp()
    const body = zlib.gzipSync('{"data":1}')
    await expectProblem(
      await post(http, body.subarray(0, body.length - 5), { 'content-encoding': 'gzip' }),
      400,
      'malformed',
    )
  })

  test('more events than a request may have, or the channel can ever hold', async () => {
    const body = '[{"data":1},{"data":2},{"data":3}]'
    await expectProblem(await post(await startHttp({ MAX_REQUEST_EVENTS: '2' }), body), 413, 'too-many-events')
    await expectProblem(await post(await startHttp({ CHANNEL_CAPACITY_EVENTS: '2' }), body), 413, 'too-many-events')
  })

  test('an upload that breaks off: nothing is written', async () => {
    const http = await startHttp()
    await raw(
      http,
      'POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"data":1}',
      { end: true },
    )
    expect(await http.stored()).toEqual([])
    expect((await post(http, '{"data":2}')).status).toBe(202)
  })

  test.each([
    ['no HTTP', 'NONSENSE\r\n\r\n'],
    ['two lengths', 'POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}'],
    [
      'length and chunks (smuggling)',
      'POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a header without end', `POST /v1/events HTTP/1.1\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`],
  ])('%s is answered with 4xx and the connection is closed', async (_name, bytes) => {
    const http = await startHttp()
    expect(await raw(http, bytes)).toMatch(/^HTTP\/1.1 4\d\d /)
    expect(await http.stored()).toEqual([])
  })

  test('a route that is not there', async () => {
    const http = await startHttp()
    await expectProblem(await fetch(`${http.url}/v2/events`), 404, 'not-found', /no GET \/v2\/events/)
  })
})

describe('API keys', () => {
  const keys = { API_KEYS: 'shop:0123456789abcdef,till:fedcba9876543210' }

  test('a known key sends, others are told how', async () => {
    const http = await startHttp(keys)
    expect((await post(http, '{"data":1}', { authorization: 'Bearer 0123456789abcdef' })).status).toBe(202)
    expect((await post(http, '{"data":1}', { authorization: 'bearer fedcba9876543210' })).status).toBe(202)
    for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Basic 0123456789abcdef', 'Bearer 0123456789abcdef0']) {
      const response = await post(http, '{"data":1}', authorization === '' ? {} : { authorization })
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/)
      await expectProblem(response, 401, 'unauthorized', /Authorization: Bearer/)
    }
    expect(await http.stored()).toHaveLength(2)
  })

  test('a key that is configured by its SHA-256 sends; the hash itself does not', async () => {
    const hex = hash('sha256', '0123456789abcdef')
    const http = await startHttp({ API_KEYS: `shop:sha256:${hex.toUpperCase()}` })
    expect((await post(http, '{"data":1}', { authorization: 'Bearer 0123456789abcdef' })).status).toBe(202)
    for (const other of [hex, `sha256:${hex}`]) {
      expect((await post(http, '{"data":1}', { authorization: `Bearer ${other}` })).status).toBe(401)
    }
  })

  test('health and docs need none', async () => {
    const http = await startHttp(keys)
    for (const path of ['/health/live', '/health/ready', '/openapi.json', '/docs']) {
      expect((await fetch(http.url + path)).status, path).toBe(200)
    }
  })

  test('neither keys nor payloads are logged, at any level', async () => {
    const http = await startHttp(keys)
    for (const authorization of ['Bearer 0123456789abcdef', 'Bearer stolen-key-0000000']) {
      await post(http, '{"data":"secret payload"}', { authorization })
      await post(http, '{"data":"secret payload"', { authorization })
      await post(http, '{"dat":"secret payload"}', { authorization })
    }
    const log = http.logged.join('')
    for (const secret of ['0123456789abcdef', 'stolen-key', 'secret payload']) expect(log).not.toContain(secret)
  })

  test('requests a second are limited for each key on its own', async () => {
    const http = await startHttp({ ...keys, RATE_LIMIT_REQUESTS_PER_SECOND: '3' })
    const shop = { authorization: 'Bearer 0123456789abcdef' }
    const responses = await Promise.all(Array.from({ length: 5 }, () => post(http, '{"data":1}', shop)))
    expect(responses.map(({ status }) => status).sort()).toEqual([202, 202, 202, 429, 429])
    await expectProblem(
      responses.find(({ status }) => status === 429) as Response,
      429,
      'over-quota',
      /3 requests a second/,
    )
    expect((await post(http, '{"data":1}', { authorization: 'Bearer fedcba9876543210' })).status).toBe(202)
  })

  test('events a second are limited for each key on its own; what never fits is 413', async () => {
    const http = await startHttp({ ...keys, QUOTA_EVENTS_PER_SECOND: '1' })
    const shop = { authorization: 'Bearer 0123456789abcdef' }
    const events = (count: number) => JSON.stringify(Array.from({ length: count }, () => ({ data: 1 })))
    await expectProblem(await post(http, events(11), shop), 413, 'too-many-events', /quota allows 10/)
    expect((await post(http, events(8), shop)).status).toBe(202)
    await expectProblem(await post(http, events(8), shop), 429, 'over-quota', /1 events a second/)
    expect((await post(http, events(8), { authorization: 'Bearer fedcba9876543210' })).status).toBe(202)
    expect(http.counts.rejectedTotal.get('over_quota')).toBe(8)
  })
})

test('what a part of the log did not take is named, by its place in the request, and can be sent again', async () => {
  const unavailable = new MillraceError('LOG_UNAVAILABLE', 'no leader')
  const tooLarge = new MillraceError('BODY_TOO_LARGE', 'too large')
  const http = await startHttp({}, () => ({
    append: async () => [
      { batch: 0, index: 0, error: unavailable },
      { batch: 0, index: 2, error: tooLarge },
    ],
  }))
  const body = '{"data":0}\nnot json\n{"data":2}\n{"data":3}'
  const response = await post(http, body, { 'content-type': 'application/x-ndjson' })
  expect(response.status).toBe(202)
  const { accepted, rejected } = (await response.json()) as { accepted: number; rejected: { index: number }[] }
  expect(accepted).toBe(1)
  expect(rejected).toMatchObject([{ index: 0, reason: 'no leader', retryable: true }, { index: 1 }, { index: 3 }])
  expect(rejected[2]).toEqual({ index: 3, reason: 'too large' })
  expect([http.counts.receivedTotal, http.counts.rejectedTotal.get('log_unavailable')]).toEqual([4, 1])
  expect(http.counts.inFlight).toBe(0)
})

test('when a part of the log is all there is of a request, nothing was kept and the answer says so', async () => {
  const error = new MillraceError('LOG_UNAVAILABLE', 'no leader')
  const http = await startHttp({}, () => ({ append: async () => [{ batch: 0, index: 0, error }] }))
  const response = await post(http, '{"data":0}')
  expect(response.headers.get('retry-after')).not.toBeNull()
  await expectProblem(response, 503, 'log-unavailable')
})

test('each request of a group learns why it was not kept, not why another was not', async () => {
  const unavailable = new MillraceError('LOG_UNAVAILABLE', 'no leader')
  const tooLarge = new MillraceError('BODY_TOO_LARGE', 'too large')
  const http = await startHttp({}, () => ({
    append: async (batches) =>
      batches.flatMap(({ payload, count }, batch) =>
        Array.from({ length: count }, (_, index) => {
          const large = index === 0 && payload.includes('large')
          return { batch, index, error: large ? tooLarge : unavailable }
        }),
      ),
  }))
  const ndjson = { 'content-type': 'application/x-ndjson' }
  const bodies = ['{"data":"large"}', '{"data":"small"}', '{"data":"large"}\n{"data":"small"}']
  const answers = await Promise.all(bodies.map((body) => post(http, body, ndjson)))
  // The small one of the last can succeed: send it again, and then only the large one is refused.
  expect(answers.map(({ status }) => status)).toEqual([413, 503, 503])
})

describe('refused for now', () => {
  const stall = () => ({ append: () => new Promise<never>(() => undefined) })

  test('a full channel: 503 with Retry-After, at once', async () => {
    const http = await startHttp({ CHANNEL_CAPACITY_EVENTS: '5' }, () => ({
      append: () => new Promise((resolve) => setTimeout(resolve, 600, [])),
    }))
    const waiting = [post(http, '{"data":0}')]
    await until(() => http.counts.inFlight === 1, 1000, 'the log is busy')
    for (let at = 0; at < 5; at++) waiting.push(post(http, '{"data":1}'))
    await until(() => http.counts.inFlight === 6, 1000, 'the channel is full')
    const startedAt = performance.now()
    const response = await post(http, '{"data":2}')
    expect(performance.now() - startedAt).toBeLessThan(50)
    await expectProblem(response, 503, 'channel-full')
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([202, 202, 202, 202, 202, 202])
    expect((await post(http, '{"data":3}')).status).toBe(202)
    expect(http.counts.rejectedTotal.get('channel_full')).toBe(1)
  })

  test.each([
    ['LOG_FULL', 'log-full'],
    ['DISK_FULL', 'disk-full'],
    ['LOG_FAILED', 'log-failed'],
  ] as const)('%s: nothing of the request is kept', async (code, problem) => {
    let broken = true
    const http = await startHttp({}, (log) => ({
      append: (batches) => (broken ? Promise.reject(new MillraceError(code, 'made up')) : log.append(batches)),
    }))
    await expectProblem(await post(http, '{"data":1}\n{"data":2}', NDJSON), 503, problem)
    expect(http.counts.rejectedTotal.get(code.toLowerCase())).toBe(2)
    broken = false
    expect((await post(http, '{"data":3}')).status).toBe(202)
    expect(await http.stored()).toEqual(['{"data":3}'])
  })

  test('shutting down', async () => {
    const http = await startHttp()
    http.state.draining = true
    await expectProblem(await post(http, '{"data":1}'), 503, 'shutting-down')
  })

  test('more bodies in progress than fit in memory are refused before they are read, and room comes back', async () => {
    const http = await startHttp({ MAX_BODY_BYTES: '4096', IN_PROGRESS_MAX_BYTES: '5000' })
    const slow = connect(Number(new URL(http.url).port), '127.0.0.1')
    slow.on('error', () => undefined)
    slow.write(
      'POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4000\r\n\r\n{',
    )
    const big = JSON.stringify({ data: 'x'.repeat(2000) })
    let response = await post(http, big)
    const isRefused = async () => {
      response = await post(http, big)
      return response.status === 503
    }
    await until(isRefused, 2000, 'refused')
    await expectProblem(response, 503, 'overloaded')
    expect((await post(http, '{"data":1}')).status).toBe(202)
    slow.destroy()
    await until(async () => (await post(http, big)).status === 202, 2000, 'accepted again')
  })

  test('readiness says why', async () => {
    const http = await startHttp({}, stall)
    expect(await (await fetch(`${http.url}/health/ready`)).json()).toEqual({ status: 'ready' })
    http.state.notReady = 'the log failed'
    const response = await fetch(`${http.url}/health/ready`)
    expect([response.status, await response.json()]).toEqual([503, { status: 'not ready', reason: 'the log failed' }])
    expect((await fetch(`${http.url}/health/live`)).status).toBe(200)
  })
})

test('time-outs suit a load balancer that keeps idle connections for 60 s', async () => {
  const { server } = await startHttp()
  expect(60_000).toBeLessThan(KEEP_ALIVE_TIMEOUT_MS)
  expect(KEEP_ALIVE_TIMEOUT_MS).toBeLessThan(HEADERS_TIMEOUT_MS)
  expect([server.server.keepAliveTimeout, server.server.headersTimeout]).toEqual([
    KEEP_ALIVE_TIMEOUT_MS,
    HEADERS_TIMEOUT_MS,
  ])
  expect(server.server.requestTimeout).toBeGreaterThan(0)
})
