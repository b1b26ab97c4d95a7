import { appendFileSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { countLines } from '../../app/client/lines.ts'
import { openSpool } from '../../app/client/spool.ts'
import type { Body } from '../../app/client/store.ts'
import { balance, startAnswers, startClient } from '../support/client.ts'
import { startHttp } from '../support/http.ts'
import { freePorts } from '../support/ports.ts'
import { until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { startTracking } from '../support/tracking.ts'

const idsOf = (lines: readonly string[]): string[] => lines.map((line) => JSON.parse(line).id)
const bodyOf = (...ids: string[]) => new TextEncoder().encode(ids.map((id) => `{"id":"${id}"}\n`).join('')) as Body
const textOf = (body: Body) => new TextDecoder().decode(body)
const bytesIn = (directory: string) =>
  readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)

const linesIn = (directory: string) =>
  readdirSync(directory).reduce((sum, name) => sum + countLines(readFileSync(join(directory, name))), 0)

async function nowhere(): Promise<string> {
  const [port] = await freePorts(1)
  return `http://127.0.0.1:${port}`
}

test('a process that is killed leaves its events, and the next one sends each of them, oldest first', async () => {
  const directory = temporaryDirectory()
  const plan = { maxQueueBytes: 32 * 1024 * 1024, total: 5000, perTurn: 50, dataLength: 100 }
  const tracking = startTracking({ ...plan, url: await nowhere(), spool: directory })
  let ids: readonly string[] = []
  await until(
    async () => {
      ids = (await tracking.report()).ids
      return ids.length === plan.total && linesIn(directory) === plan.total
    },
    20_000,
    'everything is on the disk',
  )
  await tracking.kill()
  const server = await startHttp()
  const { client, heard } = startClient({ url: server.url, store: openSpool({ directory }) })
  await until(() => client.stats.restored > 0, 5000, 'the spool is read')
  expect(await client.flush()).toBe(true)
  const arrived = idsOf(await server.stored())
  expect(arrived).toEqual(ids)
  expect(client.stats).toMatchObject({ restored: plan.total, sent: plan.total, queuedEvents: 0 })
  expect(heard).toEqual({ dropped: [], rejected: [], retries: [], failures: [] })
  expect(await client.close()).toBe(true)
  expect(readdirSync(directory)).toEqual([])
})

test('close leaves in the spool what was not answered in time: nothing is dropped, and the next client has it', async () => {
  const directory = temporaryDirectory()
  const first = startClient({ url: await nowhere(), store: openSpool({ directory }) })
  const ids = Array.from({ length: 10 }, (_, data) => first.client.track({ data }))
  expect(await first.client.close({ timeoutMs: 100 })).toBe(false)
  expect(first.heard.dropped).toEqual([])
  const server = await startHttp()
  const second = startClient({ url: server.url, store: openSpool({ directory }) })
  const more = second.client.track({ data: 'more' })
  expect(await second.client.close()).toBe(true)
  expect(idsOf(await server.stored())).toEqual([...ids, more])
  expect(balance(second.client)).toEqual([11, 11])
})

test('files of a spool are for the eyes of their owner alone', async () => {
  const directory = join(temporaryDirectory(), 'spool')
  const { client } = startClient({ url: await nowhere(), store: openSpool({ directory }) })
  client.track({ data: 'private' })
  await until(() => bytesIn(directory) > 0, 5000, 'it is written')
  const modes = readdirSync(directory).map((name) => statSync(join(directory, name)).mode & 0o777)
  expect(new Set(modes)).toEqual(new Set([0o600]))
})

test('a line that a crash has cut off is left out, and all before it is sent', async () => {
  const directory = temporaryDirectory()
  const spool = openSpool({ directory })
  await spool.load()
  await spool.add(bodyOf('a', 'b'), 2)
  await spool.close()
  const [name = ''] = readdirSync(directory)
  appendFileSync(join(directory, name), '{"id":"c","da')
  const again = openSpool({ directory })
  const batches = await again.load()
  expect(batches.map(({ events }) => events)).toEqual([2])
  expect(textOf(await again.read(batches[0]?.key as never))).toBe(textOf(bodyOf('a', 'b')))
})

test('a line that a disk has damaged comes back as it is, and costs only itself', async () => {
  const directory = temporaryDirectory()
  const spool = openSpool({ directory })
  await spool.load()
  await spool.add(new TextEncoder().encode('{"id":1,"data":1}\n\u0001damaged\n{"id":2,"data":2}\n') as Body, 3)
  await spool.close()
  const server = await startHttp()
  const { client, heard } = startClient({ url: server.url, store: openSpool({ directory }) })
  expect(await client.close()).toBe(true)
  expect(await server.stored()).toEqual(['{"id":1,"data":1}', '{"id":2,"data":2}'])
  expect(heard.rejected.map(({ events }) => events)).toEqual([[{ data: '\u0001damaged' }]])
})

test('a file that is large enough is followed by another one, and goes when its last batch is answered', async () => {
  const directory = temporaryDirectory()
  const spool = openSpool({ directory, maxFileBytes: 10 })
  await spool.load()
  const [a, b, c] = [await spool.add(bodyOf('a'), 1), await spool.add(bodyOf('b'), 1), await spool.add(bodyOf('c'), 1)]
  const files = readdirSync(directory).sort()
  expect(files.map((name) => readFileSync(join(directory, name), 'utf8'))).toEqual(
    ['a', 'b', 'c'].map((id) => textOf(bodyOf(id))),
  )
  await spool.remove(b)
  expect(readdirSync(directory).sort()).toEqual([files[0], files[2]])
  expect(textOf(await spool.read(a))).toBe(textOf(bodyOf('a')))
  await spool.remove(c)
  expect(readFileSync(join(directory, files[2] ?? ''), 'utf8')).toBe('')
  await spool.remove(a)
  await spool.close()
  expect(readdirSync(directory)).toEqual([])
})

test('a spool that is full says so, and the events stay in memory until they are sent', async () => {
  const directory = temporaryDirectory()
  const server = await startHttp()
  server.state.draining = true
  const store = openSpool({ directory, maxBytes: 4096, sync: 'none' })
  const { client, heard } = startClient({ url: server.url, store, maxBatchEvents: 1 })
  const ids = Array.from({ length: 10 }, (_, at) => client.track({ data: `${at}`.repeat(1000) }))
  await until(() => heard.failures.length > 0, 5000, 'it is full')
  expect(String(heard.failures[0])).toMatch(/the spool would have \d+ bytes, the limit is 4096/)
  expect(bytesIn(directory)).toBeLessThanOrEqual(4096)
  server.state.draining = false
  expect(await client.flush()).toBe(true)
  expect(idsOf(await server.stored())).toEqual(ids)
})

test('a directory that cannot be used costs the spool, not the events', async () => {
  const server = await startHttp()
  const { client, heard } = startClient({ url: server.url, store: openSpool({ directory: '/dev/null/spool' }) })
  const id = client.track({ data: 1 })
  expect(await client.flush()).toBe(true)
  expect(idsOf(await server.stored())).toEqual([id])
  expect(heard.failures[0]).toMatchObject({ code: 'ENOTDIR' })
})

test('a file that was removed from outside is said: its events are counted as dropped, the others are sent', async () => {
  const directory = temporaryDirectory()
  const { url } = await startAnswers((_, response) => response.writeHead(503).end())
  const first = startClient({ url, store: openSpool({ directory }) })
  first.client.track({ data: 1 })
  await first.client.close({ timeoutMs: 100 })
  expect(bytesIn(directory)).toBeGreaterThan(0)
  const store = openSpool({ directory })
  const load = store.load.bind(store)
  store.load = async () => {
    const batches = await load()
    for (const name of readdirSync(directory)) rmSync(join(directory, name))
    return batches
  }
  const server = await startHttp()
  const { client, heard } = startClient({ url: server.url, store })
  const id = client.track({ data: 2 })
  expect(await client.flush()).toBe(true)
  expect(idsOf(await server.stored())).toEqual([id])
  expect(heard.dropped).toEqual([{ events: [], reason: 'unreadable' }])
  expect(client.stats).toMatchObject({ restored: 1, dropped: 1, sent: 1 })
})
