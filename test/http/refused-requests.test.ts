/** Requests that are refused before a route has read them: every client sees the answer, and nothing is stored. */
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Harness, post, raw, startHttp } from '../support/http.ts'
import { until } from '../support/service.ts'

const EVENT = '{"data":1}'
const MIB = 1024 * 1024
const head = (lines: readonly string[]) => `${lines.join('\r\n')}\r\n\r\n`
const POST = ['POST /v1/events HTTP/1.1', 'Host: localhost', 'Content-Type: application/json']

/** The status and the problem of an answer as it came over the wire. */
function read(answer: string): { status: number; type: string; detail: string; headers: string } {
  const end = answer.indexOf('\r\n\r\n')
  const headers = answer.slice(0, end)
  const { type, detail } = JSON.parse(answer.slice(end + 4))
  expect(headers).toMatch(/^content-type: application\/problem\+json/im)
  return { status: Number(headers.slice(9, 12)), type: type.replace('urn:millrace:problem:', ''), detail, headers }
}

/** Writes everything before it reads anything, as many clients do. */
async function writesThenReads({ url }: Harness, chunks: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').pause()
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  for (const chunk of chunks) {
    if (!socket.write(chunk)) await once(socket, 'drain')
    await new Promise((next) => setTimeout(next, 5))
  }
  let answer = ''
  socket.setEncoding('utf8').on('data', (text) => {
    answer += text
  })
  socket.resume()
  await once(socket, 'end')
  return answer
}

describe('a body over the limit: the client sees 413', () => {
  const pieces = Array.from({ length: 80 }, () => Buffer.alloc(64 * 1024, 0x20))
  const chunked = pieces.map((piece) => Buffer.concat([Buffer.from('10000\r\n'), piece, Buffer.from('\r\n')]))

  test.each([
    ['with its length', [head([...POST, `Content-Length: ${5 * MIB}`]), ...pieces]],
    ['chunked', [head([...POST, 'Transfer-Encoding: chunked']), ...chunked, '0\r\n\r\n']],
  ])('that writes 5 MiB before it reads, %s', async (_, chunks) => {
    const http = await startHttp()
    expect(read(await writesThenReads(http, chunks))).toMatchObject({
      status: 413,
      type: 'body-too-large',
      headers: expect.stringMatching(/^connection: close$/im),
    })
    expect(await http.stored()).toEqual([])
  })

  test('that sends slowly, for longer than a silent one may take', async () => {
    const http = await startHttp({ MAX_BODY_BYTES: '4096' })
    const first = [head([...POST, `Content-Length: ${13 * 1024}`]), Buffer.alloc(1024, 0x20)]
    const socket = connect(Number(new URL(http.url).port), '127.0.0.1').pause()
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    for (const chunk of first) socket.write(chunk)
    for (let at = 0; at < 12; at++) {
      await new Promise((next) => setTimeout(next, 500))
      socket.write(Buffer.alloc(1024, 0x20))
    }
    let answer = ''
    socket.setEncoding('utf8').on('data', (text) => {
      answer += text
    })
    socket.resume()
    await once(socket, 'end')
    expect(read(answer).status).toBe(413)
  }, 30_000)

  test('that sends it behind an event that waits for its sync', async () => {
    const http = await startHttp({}, (log) => ({
      append: async (batches) => {
        await new Promise((resolve) => setTimeout(resolve, 300))
        return log.append(batches)
      },
    }))
    const waiting = head([...POST, `Content-Length: ${EVENT.length}`]) + EVENT
    const answer = await writesThenReads(http, [waiting + head([...POST, `Content-Length: ${5 * MIB}`]), ...pieces])
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 202', 'HTTP/1.1 413'])
  })

  test('that uses fetch, twenty times', async () => {
    const http = await startHttp()
    for (let at = 0; at < 20; at++) expect((await post(http, Buffer.alloc(5 * MIB, 0x20))).status).toBe(413)
  })

  test('that asks first (100-continue): before it sends any of it', async () => {
    const http = await startHttp()
    const sends = request(`${http.url}/v1/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': 5 * MIB, expect: '100-continue' },
    })
    let asked = false
    sends.on('continue', () => {
      asked = true
    })
    sends.flushHeaders()
    const [response] = await once(sends, 'response')
    sends.destroy()
    expect([response.statusCode, asked]).toEqual([413, false])
  })

  test('that goes on for ever: it is cut off, and others are served meanwhile', async () => {
    const http = await startHttp()
    const socket = connect(Number(new URL(http.url).port), '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    let open = true
    socket.on('close', () => {
      open = false
    })
    socket.on('error', () => undefined)
    socket.resume()
    socket.write(head([...POST, `Content-Length: ${1024 * MIB}`]))
    const piece = Buffer.alloc(256 * 1024)
    let sentBytes = 0
    while (open && sentBytes < 1024 * MIB) {
      if (!socket.write(piece))
        await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => undefined)
      sentBytes += piece.length
      if (sentBytes === 8 * MIB) expect((await post(http, EVENT)).status).toBe(202)
    }
    expect(open).toBe(false)
    expect(sentBytes).toBeLessThan(256 * MIB)
  })

  test('that keeps silent: it is closed after a few seconds', async () => {
    const http = await startHttp()
    const startedAt = performance.now()
    const answer = raw(http, head([...POST, `Content-Length: ${5 * MIB}`]))
    expect(read(await answer).status).toBe(413)
    expect(performance.now() - startedAt).toBeLessThan(15_000)
  })
})

describe('a refusal before the body is read: the client sees it, and what it goes on sending is bounded', () => {
  const keys = { API_KEYS: 'me:a-key-of-16-letters' }

  test.each([
    ['no key, chunked', keys, [...POST, 'Transfer-Encoding: chunked'], 401],
    ['no key, more than is ever taken', keys, [...POST, `Content-Length: ${5 * MIB}`], 401],
    ['a path that is not there', {}, [...POST.with(0, 'POST /nope HTTP/1.1'), 'Transfer-Encoding: chunked'], 404],
    ['another method', {}, [...POST.with(0, 'PUT /v1/events HTTP/1.1'), 'Transfer-Encoding: chunked'], 405],
    ['a path that cannot be decoded', {}, [...POST.with(0, 'POST /%zz HTTP/1.1'), 'Transfer-Encoding: chunked'], 400],
    ['a foreign host', {}, [...POST.with(1, 'Host: a.example'), 'Transfer-Encoding: chunked'], 403],
  ])('%s: the connection ends', async (_, environment, lines, status) => {
    const http = await startHttp(environment)
    const answer = await raw(http, head(lines))
    expect(read(answer)).toMatchObject({ status, headers: expect.stringMatching(/^connection: close$/im) })
  })

  test('a body that is short enough is read to its end, and the connection is used again', async () => {
    const http = await startHttp(keys)
    const refused = head([...POST, `Content-Length: ${EVENT.length}`]) + EVENT
    const last = head([...POST, 'Connection: close', `Content-Length: ${EVENT.length}`]) + EVENT
    expect((await raw(http, refused + last)).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 401', 'HTTP/1.1 401'])
  })

  test('a body that does not come, and gives way to others: 503', async () => {
    const http = await startHttp({ MAX_BODY_BYTES: '4096', IN_PROGRESS_MAX_BYTES: '5000' })
    const stalled = raw(http, `${head([...POST, 'Content-Length: 4000'])}{`)
    const big = JSON.stringify({ data: 'x'.repeat(2000) })
    await until(async () => (await post(http, big)).status === 503, 10_000, 'there is no room')
    await until(async () => (await post(http, big)).status === 202, 20_000, 'there is room again')
    expect(read(await stalled)).toMatchObject({ status: 503, type: 'overloaded' })
    expect((await http.stored()).length).toBe(1)
  }, 30_000)
})

describe('what is answered in order', () => {
  const event = (id: string, ...lines: string[]) => {
    const body = `{"id":"${id}","data":1}`
    return head([...POST, ...lines, `Content-Length: ${body.length}`]) + body
  }
  const other = 'GET /health/live HTTP/1.1\r\nHost: localhost\r\n'

  test.each([
    ['no HTTP', 'NONSENSE\r\n\r\n', [202, 202, 400]],
    ['an expectation', `${other}Expect: magic\r\n\r\n`, [202, 202, 417]],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', [202, 202, 405]],
    ['a body that is malformed', `${head([...POST, 'Transfer-Encoding: chunked'])}x\r\n`, [202, 202, 400]],
    ['one behind the last one', event('2', 'Connection: close') + event('3'), [202, 202, 202]],
  ])(
    'events that wait for their sync, and then %s: every event that is stored is acknowledged',
    async (_, bytes, statuses) => {
      const http = await startHttp({}, (log) => ({
        append: async (batches) => {
          await new Promise((resolve) => setTimeout(resolve, 50))
          return log.append(batches)
        },
      }))
      const answer = await raw(http, event('0') + event('1') + bytes)
      expect([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))).toEqual(statuses)
      expect((await http.stored()).length).toBe(statuses.filter((status) => status === 202).length)
    },
  )

  test('a body that is malformed is counted once', async () => {
    const http = await startHttp()
    await raw(http, `${head([...POST, 'Transfer-Encoding: chunked'])}x\r\n`)
    expect([...http.counts.refusedRequestsTotal].filter(([, count]) => count > 0)).toEqual([['malformed', 1]])
  })
})

describe('framing', () => {
  const chunks = `${EVENT.length.toString(16)}\r\n${EVENT}\r\n0\r\n\r\n`

  test.each([
    ['gzip, chunked', 501, 'unsupported-transfer-coding'],
    ['deflate, chunked', 501, 'unsupported-transfer-coding'],
    ['x, chunked', 501, 'unsupported-transfer-coding'],
    ['chunked, chunked', 400, 'malformed'],
    ['chunked, gzip', 400, 'malformed'],
    ['gzip', 400, 'malformed'],
    ['xchunked', 400, 'malformed'],
    ['identity', 400, 'malformed'],
    ['chunked;q=1', 400, 'malformed'],
  ])('transfer-encoding %j: %i, and the connection is closed', async (codings, status, type) => {
    const http = await startHttp()
    const answer = await raw(http, head([...POST, `Transfer-Encoding: ${codings}`]) + chunks)
    expect(read(answer)).toMatchObject({ status, type, headers: expect.stringMatching(/^connection: close$/im) })
    expect(await http.stored()).toEqual([])
  })

  test('chunked by any case is taken', async () => {
    const http = await startHttp()
    expect(await raw(http, head([...POST, 'Connection: close', 'Transfer-Encoding: Chunked']) + chunks)).toMatch(
      / 202 /,
    )
    expect(await http.stored()).toEqual([EVENT])
  })

  test('HTTP/1.0 with chunks: refused, and what follows on the connection is not read', async () => {
    const http = await startHttp()
    const lines = ['POST /v1/events HTTP/1.0', 'Host: localhost', 'Content-Type: application/json']
    const first = head([...lines, 'Connection: keep-alive', 'Transfer-Encoding: chunked']) + chunks
    const second = head([...lines, `Content-Length: ${EVENT.length}`]) + EVENT
    const answer = await raw(http, first + second)
    expect(answer.match(/HTTP\/1\.1 \d\d\d/g)).toEqual(['HTTP/1.1 400'])
    expect(await http.stored()).toEqual([])
  })

  test.each([
    ['two hosts', ['Host: localhost', 'Host: localhost']],
    ['a host with a space', ['Host: a b@/']],
    ['a host with a path', ['Host: localhost/x']],
    ['a host with a user', ['Host: me@localhost']],
    ['a port that is none', ['Host: localhost:x']],
    ['no host', []],
  ])('%s: 400', async (_, hosts) => {
    const http = await startHttp({ ALLOW_ANONYMOUS: 'true' })
    const lines = ['POST /v1/events HTTP/1.1', ...hosts, 'Content-Type: application/json', 'Connection: close']
    expect(read(await raw(http, head([...lines, `Content-Length: ${EVENT.length}`]) + EVENT))).toMatchObject({
      status: 400,
      type: 'malformed',
      detail: expect.stringMatching(/header host/),
    })
    expect(await http.stored()).toEqual([])
  })

  test.each(['localhost', 'a', '192.168.1.7:3000', 'me.localhost', 'localhost:3000', '127.0.0.1:', '[::1]:3000', ''])(
    'host %j is taken',
    async (host) => {
      const http = await startHttp()
      const lines = ['POST /v1/events HTTP/1.1', `Host: ${host}`, 'Content-Type: application/json', 'Connection: close']
      expect(await raw(http, head([...lines, `Content-Length: ${EVENT.length}`]) + EVENT)).toMatch(/^HTTP\/1.1 202 /)
    },
  )

  test('HTTP/1.0 needs no host', async () => {
    const http = await startHttp()
    const lines = ['POST /v1/events HTTP/1.0', 'Content-Type: application/json']
    expect(await raw(http, head([...lines, `Content-Length: ${EVENT.length}`]) + EVENT)).toMatch(/^HTTP\/1.1 202 /)
  })

  test.each([
    ['a space before the colon', 'X : 1'],
    ['a line folded', 'X: 1\r\n 2'],
    ['a bare line feed', 'X: 1\nY: 2'],
    ['a NUL', 'X: a\0b'],
    ['a length that is no number', 'Content-Length: 1x'],
    ['a negative length', 'Content-Length: -1'],
    ['two lengths', 'Content-Length: 10\r\nContent-Length: 11'],
    ['a length and chunks', 'Content-Length: 10\r\nTransfer-Encoding: chunked'],
  ])('%s: 400 as a problem document', async (_, line) => {
    const http = await startHttp()
    expect(read(await raw(http, head([...POST, line]) + EVENT))).toMatchObject({ status: 400, type: 'malformed' })
    expect(await http.stored()).toEqual([])
  })

  test('a content type, or an encoding, that is there twice is refused', async () => {
    const http = await startHttp()
    for (const line of ['Content-Type: application/json', 'Content-Encoding: identity\r\nContent-Encoding: gzip']) {
      const lines = [...POST, line, 'Connection: close', `Content-Length: ${EVENT.length}`]
      expect(read(await raw(http, head(lines) + EVENT)).status).toBeOneOf([400, 415])
    }
    expect(await http.stored()).toEqual([])
  })
})

test('without keys, a name that others can make lead here is refused', async () => {
  const lines = [...POST.with(1, 'Host: attacker.example:3000'), 'Connection: close', `Content-Length: ${EVENT.length}`]
  const bytes = head(lines) + EVENT
  const http = await startHttp()
  expect(read(await raw(http, bytes))).toMatchObject({ status: 403, detail: expect.stringMatching(/localhost/) })
  expect(await http.stored()).toEqual([])
  expect(await raw(await startHttp({ ALLOW_ANONYMOUS: 'true' }), bytes)).toMatch(/^HTTP\/1.1 202 /)
  // With keys, that page has none.
  expect(read(await raw(await startHttp({ API_KEYS: 'me:a-key-of-16-letters' }), bytes)).status).toBe(401)
})

describe('what never becomes a request is answered with a problem document', () => {
  test.each([
    ['no HTTP', 'NONSENSE\r\n\r\n', 400, 'malformed'],
    ['an unknown method', 'FROB /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n', 400, 'malformed'],
    ['a version that there is not', 'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n', 505, 'unsupported-http-version'],
    ['HTTP/2 in the words of HTTP/1', 'GET / HTTP/2.0\r\nHost: localhost\r\n\r\n', 505, 'unsupported-http-version'],
    ['a version and a bare line feed', 'GET / HTTP/1.1\nHost: localhost\n\n', 400, 'malformed'],
    ['a version and a space', 'GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n', 400, 'malformed'],
    ['HTTP/0.9', 'GET / HTTP/0.9\r\nHost: localhost\r\n\r\n', 505, 'unsupported-http-version'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'unsupported-http-version'],
    ['RTSP', 'DESCRIBE rtsp://a/b RTSP/1.0\r\n\r\n', 505, 'unsupported-http-version'],
    ['headers that are too large', `GET / HTTP/1.1\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, 431, 'headers-too-large'],
    ['an expectation', 'GET / HTTP/1.1\r\nHost: localhost\r\nExpect: magic\r\n\r\n', 417, 'expectation-failed'],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 405, 'method-not-allowed'],
  ])('%s', async (_, bytes, status, type) => {
    const http = await startHttp()
    expect(read(await raw(http, bytes))).toMatchObject({
      status,
      type,
      headers: expect.stringMatching(/^connection: close$/im),
    })
    expect([...http.counts.refusedRequestsTotal].filter(([, count]) => count > 0)).toEqual([
      [type.replaceAll('-', '_'), 1],
    ])
  })
})

test.each([
  ['GET', '/v1/events', 'OPTIONS, POST'],
  ['PUT', '/v1/events?x=1', 'OPTIONS, POST'],
  ['DELETE', '/health/ready', 'GET, HEAD, OPTIONS'],
  ['POST', '/openapi.json', 'GET, HEAD, OPTIONS'],
  ['POST', '/docs', 'GET, HEAD, OPTIONS'],
  ['POST', '/docs/static/index.html', 'GET, HEAD, OPTIONS'],
  ['GET', '/v1/%65vents', 'OPTIONS, POST'],
  ['QUERY', '/v1/events', 'OPTIONS, POST'],
  ['PROPFIND', '/v1/events', 'OPTIONS, POST'],
])('%s %s: 405, and Allow says %s', async (method, path, allow) => {
  const { url, counts } = await startHttp()
  const response = await fetch(url + path, { method })
  expect([response.status, response.headers.get('allow')]).toEqual([405, allow])
  expect(await response.json()).toMatchObject({ type: 'urn:millrace:problem:method-not-allowed', status: 405 })
  expect(counts.refusedRequestsTotal.get('method_not_allowed')).toBe(1)
})

describe('HEAD and OPTIONS', () => {
  const allowed = {
    '/v1/events': 'OPTIONS, POST',
    '/health/live': 'GET, HEAD, OPTIONS',
    '/health/ready': 'GET, HEAD, OPTIONS',
    '/openapi.json': 'GET, HEAD, OPTIONS',
    '/docs': 'GET, HEAD, OPTIONS',
    '/docs/static/index.html': 'GET, HEAD, OPTIONS',
  }

  test.each(Object.entries(allowed))('OPTIONS %s: 204, Allow: %s, and no key is asked for', async (path, allow) => {
    const http = await startHttp({ API_KEYS: 'me:a-key-of-16-letters' })
    const response = await fetch(http.url + path, { method: 'OPTIONS' })
    expect([response.status, response.headers.get('allow'), await response.text()]).toEqual([204, allow, ''])
    expect([...http.counts.refusedRequestsTotal].filter(([, count]) => count > 0)).toEqual([])
  })

  test.each(Object.keys(allowed).filter((path) => path !== '/v1/events'))(
    'HEAD %s has the status and the type of GET, and no content',
    async (path) => {
      const { url } = await startHttp()
      const [head, get] = [await fetch(url + path, { method: 'HEAD' }), await fetch(url + path)]
      expect([head.status, head.headers.get('content-type')]).toEqual([200, get.headers.get('content-type')])
      expect(await head.text()).toBe('')
      expect((await get.text()).length).toBeGreaterThan(0)
    },
  )

  test('HEAD of a path that only takes events: 405 with Allow, and no content', async () => {
    const response = await fetch(`${(await startHttp()).url}/v1/events`, { method: 'HEAD' })
    expect([response.status, response.headers.get('allow'), await response.text()]).toEqual([405, 'OPTIONS, POST', ''])
  })

  test('OPTIONS * is about the listener as a whole', async () => {
    const http = await startHttp()
    const answer = await raw(http, head(['OPTIONS * HTTP/1.1', 'Host: localhost', 'Connection: close']))
    expect(answer).toMatch(/^HTTP\/1.1 204 .*^allow: GET, HEAD, OPTIONS, POST\r$/ims)
  })

  test('a preflight of a web page is granted nothing', async () => {
    const response = await fetch(`${(await startHttp()).url}/v1/events`, {
      method: 'OPTIONS',
      headers: { origin: 'https://page.example', 'access-control-request-method': 'POST' },
    })
    expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
  })
})

test('a target in absolute form has the methods of its path', async () => {
  const http = await startHttp()
  const answer = await raw(
    http,
    head(['GET http://localhost/v1/events HTTP/1.1', 'Host: localhost', 'Connection: close']),
  )
  expect(read(answer)).toMatchObject({ status: 405, headers: expect.stringMatching(/^allow: OPTIONS, POST$/im) })
})

test('what is not among the files of the docs is a problem document', async () => {
  const response = await fetch(`${(await startHttp()).url}/docs/nope`)
  expect([response.status, response.headers.get('content-type')]).toEqual([
    404,
    expect.stringMatching(/^application\/problem\+json/),
  ])
  expect(await response.json()).toMatchObject({ type: 'urn:millrace:problem:not-found' })
})

test('a path that only looks like a known one is 404, whatever the type of its body', async () => {
  const http = await startHttp()
  for (const path of ['/openapi-json', '/v1/events/', '/v1/eventsx']) {
    const response = await fetch(http.url + path, { method: 'POST', headers: { 'content-type': 'x' }, body: EVENT })
    expect([path, response.status]).toEqual([path, 404])
  }
  expect(http.counts.refusedRequestsTotal.get('not_found')).toBe(3)
})

test('HEAD of health is answered, and a path that is not there is 404 for every method', async () => {
  const { url } = await startHttp()
  expect((await fetch(`${url}/health/live`, { method: 'HEAD' })).status).toBe(200)
  for (const method of ['GET', 'POST', 'OPTIONS', 'HEAD']) {
    expect((await fetch(`${url}/v1/event`, { method })).status).toBe(404)
  }
})

test('an event that can never fit into the channel costs no quota', async () => {
  const http = await startHttp({
    ...{ QUOTA_EVENTS_PER_SECOND: '1', MAX_BODY_BYTES: '20000', CHANNEL_CAPACITY_BYTES: '20000' },
  })
  // In JSON, each of these has six bytes.
  const grows = '\u0001'.repeat(4000)
  const attributes = { 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 't' }
  const headers = { ...attributes, 'content-type': 'text/plain' }
  for (let at = 0; at < 15; at++) expect((await post(http, grows, headers)).status).toBe(413)
  expect((await post(http, EVENT)).status).toBe(202)
})

test('a refusal because the channel is full costs no quota', async () => {
  const held = Promise.withResolvers<void>()
  const http = await startHttp({ QUOTA_EVENTS_PER_SECOND: '1', CHANNEL_CAPACITY_EVENTS: '2' }, (log) => ({
    append: (batches) => held.promise.then(() => log.append(batches)),
  }))
  const sent = Array.from({ length: 40 }, () => post(http, EVENT))
  const refusals = (await Promise.all(sent.slice(5))).map(({ status }) => status)
  expect(new Set(refusals)).toEqual(new Set([503]))
  held.resolve()
  const accepted = (await Promise.all(sent)).filter(({ status }) => status === 202).length
  // Ten seconds' worth: what is left of it is still there.
  for (let at = accepted; at < 10; at++) expect((await post(http, EVENT)).status).toBe(202)
  expect((await post(http, EVENT)).status).toBe(429)
})

test('a spare connection that has sent nothing when its time is over is closed without a word', async () => {
  const http = await startHttp()
  const accepted = once(http.server.server, 'connection')
  const answer = raw(http, '')
  const [socket] = await accepted
  http.server.server.emit('clientError', Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket)
  expect(await answer).toBe('')
  expect([...http.counts.refusedRequestsTotal].filter(([, count]) => count > 0)).toEqual([])
})
