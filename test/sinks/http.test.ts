import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Event } from '../../app/event.ts'
import { HttpSink, parseRetryAfter, webhookId } from '../../app/sinks/http.ts'
import { SinkUnavailable } from '../../app/sinks/sink.ts'
import { numbered, startDelivery } from '../support/delivery.ts'
import { batchOf } from '../support/events.ts'
import { until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const event: Event = { specversion: '1.0', id: 'ä 1/2', source: '/s', type: 't', data: { n: 1 } }
const never = new AbortController().signal

async function endpoint(
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
): Promise<string> {
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => answer(request, response, body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
}

const sinkTo = (url: string, options: { secret?: string; timeoutMs?: number } = {}) =>
  new HttpSink({ url, secret: '', timeoutMs: 1000, concurrency: 4, ...options })

describe('http sink', () => {
  test('posts a structured CloudEvent, signed as Standard Webhooks says', async () => {
    const secret = `whsec_${Buffer.from('a secret of enough length').toString('base64')}`
    let verified: unknown
    let type: string | undefined
    const url = await endpoint((request, response, body) => {
      verified = new Webhook(secret).verify(body, request.headers as Record<string, string>)
      type = request.headers['content-type']
      response.writeHead(204).end()
    })
    expect(await sinkTo(url, { secret }).write(batchOf(event), never)).toEqual([])
    expect(verified).toEqual(event)
    expect(type).toBe('application/cloudevents+json')
  })

  test('hands the trace of an event on', async () => {
    const traces: unknown[] = []
    const url = await endpoint((request, response) => {
      traces.push(request.headers.traceparent)
      response.writeHead(204).end()
    })
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    await sinkTo(url).write(batchOf({ ...event, traceparent }, event), never)
    expect(traces).toEqual([traceparent, undefined])
  })

  test('what an event brings as its trace and is none is no header, and no reason not to send it', async () => {
    const traces: unknown[] = []
    const url = await endpoint((request, response) => {
      traces.push(request.headers.traceparent)
      response.writeHead(204).end()
    })
    for (const traceparent of ['日本', 'a\r\nb: c', '', 7, '00-0'])
      expect(await sinkTo(url).write(batchOf({ ...event, traceparent }), never)).toEqual([])
    expect(traces).toEqual([undefined, undefined, undefined, undefined, undefined])
  })

  test('an event that no headers can be made for is given up, and holds up nothing', async () => {
    const url = await endpoint((_request, response) => void response.writeHead(204).end())
    const secret = Buffer.from('another secret, long enough').toString('base64')
    const broken = { ...event, id: '\ud800' } // what others write to a Kafka topic
    expect(await sinkTo(url, { secret }).write(batchOf(broken, event), never)).toEqual([
      { index: 0, reason: expect.stringMatching(/^no headers can be made for it: URI malformed/), retryable: false },
    ])
  })

  test('a changed body does not verify', async () => {
    const secret = Buffer.from('another secret, long enough').toString('base64')
    let error: unknown
    const url = await endpoint((request, response, body) => {
      try {
        new Webhook(secret).verify(body.replace('1', '2'), request.headers as Record<string, string>)
      } catch (thrown) {
        error = thrown
      }
      response.end()
    })
    await sinkTo(url, { secret }).write(batchOf(event), never)
    expect(String(error)).toMatch(/No matching signature/)
  })

  test.each([400, 401, 403, 404, 410, 413, 422])('%d: never will be taken', async (status) => {
    const url = await endpoint((_request, response) => response.writeHead(status).end('because'))
    expect(await sinkTo(url).write(batchOf(event), never)).toEqual([
      { index: 0, retryable: false, reason: expect.stringMatching(new RegExp(`answered ${status}: because$`)) },
    ])
  })

  test.each([500, 501, 302])('%d: this event failed and can be tried again', async (status) => {
    const url = await endpoint((_request, response) => response.writeHead(status, { location: '/elsewhere' }).end())
    expect(await sinkTo(url).write(batchOf(event), never)).toMatchObject([{ index: 0, retryable: true }])
  })

  test.each([408, 425, 429, 502, 503, 504])('%d: the sink is unavailable, Retry-After is kept', async (status) => {
    const url = await endpoint((_request, response) => response.writeHead(status, { 'retry-after': '7' }).end())
    await expect(sinkTo(url).write(batchOf(event), never)).rejects.toMatchObject({
      name: 'SinkUnavailable',
      retryAfterMs: 7000,
    })
  })

  test('no connection and no answer in time: the sink is unavailable', async () => {
    await expect(sinkTo('http://127.0.0.1:1/').write(batchOf(event), never)).rejects.toBeInstanceOf(SinkUnavailable)
    const url = await endpoint(() => undefined)
    await expect(sinkTo(url, { timeoutMs: 50 }).write(batchOf(event), never)).rejects.toThrow(
      /no answer from http:\/\/127/,
    )
    const cut = await endpoint((_request, response) => response.socket?.destroy())
    await expect(sinkTo(cut).write(batchOf(event), never)).rejects.toBeInstanceOf(SinkUnavailable)
  })

  test('aborting ends a request at once', async () => {
    const url = await endpoint(() => undefined)
    const abort = new AbortController()
    const writing = sinkTo(url, { timeoutMs: 60_000 }).write(batchOf(event), abort.signal)
    abort.abort()
    await expect(writing).rejects.toBeInstanceOf(SinkUnavailable)
  })
})

describe('the body of an answer', () => {
  const gzip = (body: Buffer) => ({ 'content-encoding': 'gzip', 'content-length': body.length })
  const bodies: [string, (response: ServerResponse, status: number) => void][] = [
    ['that never ends', (response, status) => void response.writeHead(status).write('x')],
    [
      'that is endless',
      (response, status) => {
        response.writeHead(status)
        const more = () => {
          while (response.write(Buffer.alloc(64 * 1024, 0x78)));
        }
        response.on('drain', more)
        more()
      },
    ],
    [
      'that comes a byte at a time',
      (response, status) => {
        response.writeHead(status)
        const timer = setInterval(() => response.write('x'), 20)
        response.on('close', () => clearInterval(timer))
      },
    ],
    [
      'that is not what its coding says',
      (response, status) => void response.writeHead(status, gzip(NONSENSE)).end(NONSENSE),
    ],
    ['that inflates to 1 GiB', (response, status) => void response.writeHead(status, gzip(BOMB)).end(BOMB)],
    [
      'that breaks off',
      (response, status) => {
        response.writeHead(status, { 'content-length': 100 }).write('x')
        setTimeout(() => response.socket?.destroy(), 10)
      },
    ],
    [
      'whose chunks are none',
      (response, status) => {
        response.socket?.end(`HTTP/1.1 ${status} x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`)
      },
    ],
    [
      'that has trailers',
      (response, status) => {
        response.writeHead(status, { trailer: 'x' }).write('x')
        response.addTrailers({ x: '1' })
        response.end()
      },
    ],
  ]
  const NONSENSE = Buffer.from('nonsense')
  const BOMB = gzipSync(Buffer.alloc(64 * 1024 * 1024))

  test.each(bodies)('%s: a 2xx is delivered, a 400 given up, a 500 tried again, a 503 waits', async (_, answer) => {
    let status = 200
    const url = await endpoint((_request, response) => answer(response, status))
    const sink = sinkTo(url, { timeoutMs: 60_000 })
    const startedAt = performance.now()
    const rss = process.memoryUsage.rss()
    expect(await sink.write(batchOf(event), never)).toEqual([])
    status = 400
    expect(await sink.write(batchOf(event), never)).toMatchObject([{ retryable: false }])
    status = 500
    expect(await sink.write(batchOf(event), never)).toMatchObject([{ retryable: true }])
    status = 503
    await expect(sink.write(batchOf(event), never)).rejects.toBeInstanceOf(SinkUnavailable)
    expect(performance.now() - startedAt).toBeLessThan(20_000)
    expect(process.memoryUsage.rss() - rss).toBeLessThan(64 * 1024 * 1024)
    await sink.close()
  })

  test('that is short is read, and the connection is used again', async () => {
    const ports = new Set<number | undefined>()
    const url = await endpoint((request, response) => {
      ports.add(request.socket.remotePort)
      response.writeHead(200).end('ok')
    })
    const sink = sinkTo(url)
    for (let at = 0; at < 20; at++) await sink.write(batchOf(event), never)
    expect(ports.size).toBe(1)
    await sink.close()
  })
})

describe('webhook-id', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 400 })

  test('property: the same for the same source and id, another for any other, and fit for a header', () => {
    fc.assert(
      fc.property(text, text, text, text, (source, id, otherSource, otherId) => {
        const one = webhookId({ source, id })
        expect(one).toMatch(/^[\w!*'()~%:-]{1,256}$/)
        expect(webhookId({ source, id })).toBe(one)
        if (source !== otherSource || id !== otherId)
          expect(webhookId({ source: otherSource, id: otherId })).not.toBe(one)
      }),
    )
  })

  test.each([
    ['/a', '1', '%2Fa:1'],
    ['/b', '1', '%2Fb:1'],
    ['/a:1', '', '%2Fa%3A1:'],
    ['/a', 'v1.2', '%2Fa:v1%2E2'],
  ])('of %j and %j is %s', (source, id, expected) => {
    expect(webhookId({ source, id })).toBe(expected)
  })
})

describe('an event that the receiver chokes on', () => {
  const chokes: [string, (response: ServerResponse) => void][] = [
    ['503', (response) => void response.writeHead(503).end()],
    ['429 with Retry-After: 0', (response) => void response.writeHead(429, { 'retry-after': '0' }).end()],
    ['no answer', () => undefined],
    ['a reset', (response) => response.socket?.resetAndDestroy()],
  ]

  test.each(chokes)(
    'with %s: is a dead letter, and all others of its lane are delivered',
    async (_, choke) => {
      const got = new Set<string>()
      const url = await endpoint((_request, response, body) => {
        const { id } = JSON.parse(body)
        if (id === '7') return choke(response)
        got.add(id)
        response.writeHead(204).end()
      })
      const sink = Object.assign(sinkTo(url, { timeoutMs: 100 }), { name: 'http' })
      const rig = await startDelivery(temporaryDirectory(), sink)
      for (let from = 0; from < 200; from += 20) await rig.log.append([numbered(from, from + 20, 50)])
      await until(() => rig.delivery.lagEvents === 0, 40_000, 'settled')
      expect([got.size, rig.delivery.settled.deadLettered]).toEqual([199, 1])
      const [letter] = await rig.delivery.deadLetters(1)
      expect([letter?.event.id, letter?.reason]).toEqual([
        '7',
        expect.stringMatching(/while \d+ others were delivered\)$/),
      ])
      await rig.close()
    },
    60_000,
  )

  test('a receiver that is away for all gives none up', async () => {
    let isAway = true
    const url = await endpoint((_request, response) => void response.writeHead(isAway ? 503 : 204).end())
    const sink = Object.assign(sinkTo(url), { name: 'http' })
    const rig = await startDelivery(temporaryDirectory(), sink)
    await rig.log.append([numbered(0, 20, 20)])
    await until(() => (rig.delivery.attempts.get('unavailable') ?? 0) > 100, 15_000, 'tried')
    isAway = false
    await until(() => rig.delivery.lagEvents === 0, 15_000, 'settled')
    expect(rig.delivery.settled).toMatchObject({ delivered: 20, deadLettered: 0 })
    await rig.close()
  })

  test('a receiver that refuses half of all for a time gives none up', async () => {
    let requests = 0
    const url = await endpoint((_request, response) => {
      requests += 1
      response.writeHead(requests < 400 && requests % 2 ? 429 : 204).end()
    })
    const sink = Object.assign(sinkTo(url), { name: 'http' })
    const rig = await startDelivery(temporaryDirectory(), sink)
    await rig.log.append([numbered(0, 400, 50)])
    await until(() => rig.delivery.lagEvents === 0, 15_000, 'settled')
    expect(rig.delivery.settled).toMatchObject({ delivered: 400, deadLettered: 0 })
    await rig.close()
  })
})

test('property: any event arrives once, as it is, with a signature that verifies', async () => {
  const secret = Buffer.from('a secret of enough length').toString('base64')
  const got: unknown[] = []
  const url = await endpoint((request, response, body) => {
    got.push(new Webhook(secret).verify(body, request.headers as Record<string, string>))
    response.writeHead(204).end()
  })
  const sink = sinkTo(url, { secret })
  const attribute = fc.string({ unit: 'binary', minLength: 1, maxLength: 1024 })
  const anyEvent = fc.record(
    {
      id: attribute,
      source: attribute,
      type: attribute,
      subject: attribute,
      traceparent: attribute,
      data: fc.jsonValue(),
    },
    { requiredKeys: ['id', 'source', 'type'] },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { minLength: 1, maxLength: 5 }), async (events) => {
      got.length = 0
      const sent = events.map((one) => ({ specversion: '1.0' as const, ...one }))
      expect(await sink.write(batchOf(...sent), never)).toEqual([])
      expect(got).toEqual(JSON.parse(JSON.stringify(sent)))
    }),
    { numRuns: 100 },
  )
  await sink.close()
})

test.each([
  [undefined, undefined],
  ['3', 3000],
  ['Thu, 01 Jan 1970 00:01:00 GMT', 60_000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['Thursday, 01-Jan-70 00:01:00 GMT', 60_000],
  ['Thu Jan  1 00:01:00 1970', 60_000],
  ['0', 0],
  ['soon', undefined],
  ['-1', undefined],
  ['1.5', undefined],
  ['1e9', undefined],
  ['', undefined],
])('Retry-After %j is %j ms', (header, expected) => {
  expect(parseRetryAfter(header, 0)).toBe(expected)
})
