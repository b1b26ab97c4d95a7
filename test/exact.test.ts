/** What was received is what arrives, byte for byte, through a whole service. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startEndpoint } from './support/endpoint.ts'
import { expectExactly, hardData, MAX_BODY_BYTES, sendExactly } from './support/exact.ts'
import { caughtUp, type Service, startService, until } from './support/service.ts'
import { temporaryDirectory } from './support/temporary.ts'

const LIMITS = {
  MAX_BODY_BYTES: String(MAX_BODY_BYTES),
  RETRY_BASE_MS: '1',
  RETRY_MAX_MS: '5',
  RETRY_MAX_ATTEMPTS: '2',
}

function linesIn(directory: string): string[] {
  const delivered = join(directory, 'data/delivered')
  return readdirSync(delivered).flatMap((file) => readFileSync(join(delivered, file), 'utf8').trimEnd().split('\n'))
}

/** Lines of the stdout sink: the service itself talks on standard error then. */
const printedBy = (service: Service) => service.stdout().trimEnd().split('\n')

test('at file, stdout and http, and after a dead letter and its replay', async () => {
  const directory = temporaryDirectory()
  const endpoint = await startEndpoint(() => 400)
  const service = await startService(directory, {
    ...LIMITS,
    SINKS: 'file,stdout,http',
    HTTP_SINK_URL: endpoint.url,
    DEDUPLICATION_WINDOW_EVENTS: '1000',
  })
  const data = hardData()
  await sendExactly(service.url, data)
  await caughtUp(service, ['file', 'stdout', 'http'])
  expectExactly(linesIn(directory), data)
  expectExactly(printedBy(service), data)
  expect(endpoint.refused).toBe(data.size)
  const listed = await (await fetch(`${service.adminUrl}/dead-letters/http?limit=1000`)).text()
  for (const text of data.values()) expect(listed.includes(`"data":${text}`), text.slice(0, 200)).toBe(true)
  endpoint.answer = () => 200
  const headers = { 'x-millrace-admin': '1' }
  const replayed = await fetch(`${service.adminUrl}/dead-letters/http/replay`, { method: 'POST', headers })
  expect([replayed.status, await replayed.json()]).toEqual([200, { letters: data.size, failedAgain: 0 }])
  expectExactly(endpoint.bodies, data)
  expect(await service.stop()).toBe(0)
}, 60_000)

test('through a handler that does not touch data, here and on threads', async () => {
  for (const HANDLER_THREADS of ['0', '2']) {
    const directory = temporaryDirectory()
    const handled = { HANDLERS: 'sample', HANDLER_CONCURRENCY: '64', HANDLER_THREADS }
    const service = await startService(directory, { ...LIMITS, ...handled, SINKS: 'file' })
    const data = new Map([...hardData()].slice(0, HANDLER_THREADS === '0' ? 60 : 20))
    // Each its own key, so that they are handled side by side.
    const events = [...data].map(([id, text]) => `{"id":"${id}","subject":"${id}","data":${text}}`)
    const body = events.join('\n')
    const type = { 'content-type': 'application/x-ndjson' }
    expect((await fetch(`${service.url}/v1/events`, { method: 'POST', body, headers: type })).status).toBe(202)
    await until(() => caughtUp(service, ['file']).then(() => true), 30_000, 'all delivered')
    const lines = linesIn(directory)
    expectExactly(lines, data)
    expect(lines.every((line) => line.includes('"handledat":"'))).toBe(true)
    expect(await service.stop()).toBe(0)
  }
}, 60_000)
