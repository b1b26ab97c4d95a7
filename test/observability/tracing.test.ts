import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startTracing, tracingIsOn } from '../../app/observability/tracing.ts'
import { deliveredIn, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

interface Span {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
}

/** What an OpenTelemetry collector takes: OTLP over HTTP, as JSON. */
async function collector(): Promise<{ url: string; spans: Span[]; resources: unknown[] }> {
  const spans: Span[] = []
  const resources: unknown[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (more) => {
      text += more
    })
    request.on('end', () => {
      for (const { resource, scopeSpans } of JSON.parse(text).resourceSpans) {
        resources.push(...resource.attributes)
        for (const scope of scopeSpans) spans.push(...scope.spans)
      }
      response.setHeader('content-type', 'application/json').end('{}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, resources }
}

test.each([
  [{}, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, true],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' }, true],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_SDK_DISABLED: 'true' }, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_TRACES_EXPORTER: 'none' }, false],
])('%j: tracing is on: %s', (environment, expected) => {
  expect(tracingIsOn(environment)).toBe(expected)
})

test('off, it is nothing at all', async () => {
  expect(await startTracing({}, '0.0.0')).toBeUndefined()
})

test('on: a request is a span of the caller’s trace, its events carry that span, and none is lost at the end', async () => {
  const { url, spans, resources } = await collector()
  const directory = temporaryDirectory()
  const service = await startService(directory, { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SERVICE_NAME: 'events' })
  const response = await fetch(`${service.url}/v1/events`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    },
    body: '{"id":1,"data":"Event 1"}',
  })
  expect(response.status).toBe(202)
  const delivered = () => deliveredIn(join(directory, 'data', 'delivered'))
  await until(() => delivered().length === 1, 5000, 'delivered')
  expect(await service.stop()).toBe(0)
  const span = spans.find(({ name }) => name.includes('/v1/events') || name === 'request')
  expect(span, JSON.stringify(spans)).toMatchObject({
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    parentSpanId: '00f067aa0ba902b7',
  })
  expect(delivered()[0]).toHaveProperty('traceparent', `00-4bf92f3577b34da6a3ce929d0e0e4736-${span?.spanId}-01`)
  expect(resources).toContainEqual({ key: 'service.name', value: { stringValue: 'events' } })
})

test('a key in the address is in no span', async () => {
  const { url, spans } = await collector()
  const service = await startService(temporaryDirectory(), { OTEL_EXPORTER_OTLP_ENDPOINT: url })
  const body = '{"data":1}'
  const headers = { 'content-type': 'application/json' }
  await fetch(`${service.url}/v1/events?key=pk_a-key-that-is-public`, { method: 'POST', headers, body })
  expect(await service.stop()).toBe(0)
  const text = JSON.stringify(spans)
  expect(text).toContain('{"key":"url.path","value":{"stringValue":"/v1/events"}}')
  expect(text).not.toContain('pk_')
})
