import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Event } from '../../app/event.ts'
import { HttpSink, parseRetryAfter } from '../../app/sinks/http.ts'
import { SinkUnavailable } from '../../app/sinks/sink.ts'
import { items } from '../support/delivery.ts'

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
    expect(await sinkTo(url, { secret }).write(items(event), never)).toEqual([])
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
    await sinkTo(url).write(items({ ...event, traceparent }, event), never)
    expect(traces).toEqual([traceparent, undefined])
  })

  test('what an event brings as its trace and is none is no header, and no reason not to send it', async () => {
    const traces: unknown[] = []
    const url = await endpoint((request, response) => {
      traces.push(request.headers.traceparent)
      response.writeHead(204).end()
    })
    for (const traceparent of ['日本', 'a\r\nb: c', '', 7, '00-0'])
      expect(await sinkTo(url).write(items({ ...event, traceparent }), never)).toEqual([])
    expect(traces).toEqual([undefined, undefined, undefined, undefined, undefined])
  })

  test('an event that no headers can be made for is given up, and holds up nothing', async () => {
    const url = await endpoint((_request, response) => void response.writeHead(204).end())
    const secret = Buffer.from('another secret, long enough').toString('base64')
    const broken = { ...event, id: '\ud800' } // what others write to a Kafka topic
    expect(await sinkTo(url, { secret }).write(items(broken, event), never)).toEqual([
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
    await sinkTo(url, { secret }).write(items(event), never)
    expect(String(error)).toMatch(/No matching signature/)
  })

  test.each([400, 401, 403, 404, 410, 413, 422])('%d: never will be taken', async (status) => {
    const url = await endpoint((_request, response) => response.writeHead(status).end('because'))
    expect(await sinkTo(url).write(items(event), never)).toEqual([
      { index: 0, retryable: false, reason: expect.stringMatching(new RegExp(`answered ${status}: because$`)) },
    ])
  })

  test.each([500, 501, 302])('%d: this event failed and can be tried again', async (status) => {
    const url = await endpoint((_request, response) => response.writeHead(status, { location: '/elsewhere' }).end())
    expect(await sinkTo(url).write(items(event), never)).toMatchObject([{ index: 0, retryable: true }])
  })

  test.each([408, 425, 429, 502, 503, 504])('%d: the sink is unavailable, Retry-After is kept', async (status) => {
    const url = await endpoint((_request, response) => response.writeHead(status, { 'retry-after': '7' }).end())
    await expect(sinkTo(url).write(items(event), never)).rejects.toMatchObject({
      name: 'SinkUnavailable',
      retryAfterMs: 7000,
    })
  })

  test('no connection and no answer in time: the sink is unavailable', async () => {
    await expect(sinkTo('http://127.0.0.1:1/').write(items(event), never)).rejects.toBeInstanceOf(SinkUnavailable)
    const url = await endpoint(() => undefined)
    await expect(sinkTo(url, { timeoutMs: 50 }).write(items(event), never)).rejects.toThrow(
      /no answer from http:\/\/127/,
    )
    const cut = await endpoint((_request, response) => response.socket?.destroy())
    await expect(sinkTo(cut).write(items(event), never)).rejects.toBeInstanceOf(SinkUnavailable)
  })

  test('aborting ends a request at once', async () => {
    const url = await endpoint(() => undefined)
    const abort = new AbortController()
    const writing = sinkTo(url, { timeoutMs: 60_000 }).write(items(event), abort.signal)
    abort.abort()
    await expect(writing).rejects.toBeInstanceOf(SinkUnavailable)
  })
})

test.each([
  [null, undefined],
  ['3', 3000],
  ['Thu, 01 Jan 1970 00:01:00 GMT', 60_000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['soon', undefined],
])('Retry-After %j is %j ms', (header, expected) => {
  expect(parseRetryAfter(header, 0)).toBe(expected)
})
