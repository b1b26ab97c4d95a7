/** The examples of docs/client.md, run as they stand there, beside the real service. The page is in test/browser. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { freePorts } from '../support/ports.ts'
import { caughtUp, deliveredIn, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

// Processes of processes, one after the other.
vi.setConfig({ testTimeout: 60_000 })

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const exampleOf = (name: string) => fileURLToPath(new URL(`../../examples/client/${name}`, import.meta.url))

interface Started {
  readonly service: Service
  /** What the service has delivered. */
  delivered(): Promise<{ id: string; [name: string]: unknown }[]>
}

async function start(): Promise<Started> {
  const directory = temporaryDirectory()
  const service = await startService(directory, { API_KEYS: 'shop:secret-of-the-shop' })
  return {
    service,
    delivered: async () => {
      await caughtUp(service, ['file'])
      return deliveredIn(join(directory, 'data/delivered')) as { id: string }[]
    },
  }
}

function run(args: readonly string[], environment: Readonly<Record<string, string>>): ChildProcess {
  const env = { PATH: process.env.PATH, MILLRACE_KEY: 'secret-of-the-shop', PORT: '0', ...environment }
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'], cwd: temporaryDirectory() })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

async function portOf({ stderr }: ChildProcess): Promise<string> {
  let text = ''
  for await (const chunk of stderr ?? []) {
    text += chunk
    const [, port] = /listening on (\d+)/.exec(text) ?? []
    if (port !== undefined) return port
  }
  throw new Error(`ended before it listened: ${text}`)
}

async function order(port: string, customer: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', traceparent: TRACE, connection: 'close' },
    body: JSON.stringify({ customer, item: 'A-7' }),
  })
  expect(response.status).toBe(201)
  return ((await response.json()) as { event: string }).event
}

/** An address where nobody listens. */
async function nobody(): Promise<string> {
  const [port] = await freePorts(1)
  return `http://127.0.0.1:${port}`
}

const EXPECTED = {
  ...{ specversion: '1.0', type: 'order.created', traceparent: TRACE },
  data: { item: 'A-7' },
}

test('express: the event of each request arrives, with its trace, and a stop sends what is queued', async () => {
  const { service, delivered } = await start()
  const example = run([exampleOf('express.ts')], { MILLRACE_URL: service.url })
  const port = await portOf(example)
  const ids = [await order(port, 'c1'), await order(port, 'c2')]
  example.kill('SIGTERM')
  expect(await once(example, 'exit')).toEqual([0, null])
  const events = await delivered()
  expect(events.map(({ id }) => id)).toEqual(ids)
  expect(events).toMatchObject([
    { ...EXPECTED, source: '/shop', subject: 'c1' },
    { ...EXPECTED, source: '/shop', subject: 'c2' },
  ])
})

test('fastify: what could not be sent is in the spool when it stops, and is sent when it starts again', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory)
  const spool = { SPOOL_DIR: temporaryDirectory() }
  const nowhere = await nobody()
  const ids: string[] = []
  for (const MILLRACE_URL of [nowhere, service.url]) {
    const example = run([exampleOf('fastify.ts')], { MILLRACE_URL, ...spool })
    ids.push(await order(await portOf(example), 'c1'))
    example.kill('SIGTERM')
    expect(await once(example, 'exit')).toEqual([0, null])
  }
  await caughtUp(service, ['file'])
  const events = deliveredIn(join(directory, 'data/delivered'))
  expect(events.map(({ id }) => id)).toEqual(ids)
  expect(events).toMatchObject([{ ...EXPECTED, source: '/shop' }, EXPECTED])
})

test('lambda: the event is acknowledged before the invocation ends; while it cannot be, the caller hears it', async () => {
  const { service, delivered } = await start()
  const invoke = async (MILLRACE_URL: string) => {
    const request = { headers: { traceparent: TRACE }, body: JSON.stringify({ customer: 'c1', item: 'A-7' }) }
    const program = `const { handler } = await import(${JSON.stringify(exampleOf('lambda.ts'))})
      console.log(JSON.stringify(await handler(${JSON.stringify(request)})))
      process.exit()`
    const example = run(['--input-type=module', '--eval', program], { MILLRACE_URL })
    let text = ''
    for await (const chunk of example.stdout ?? []) text += chunk
    return JSON.parse(text) as { statusCode: number; body: string }
  }
  const { statusCode, body } = await invoke(service.url)
  expect(statusCode).toBe(201)
  const events = await delivered()
  expect(events.map(({ id }) => id)).toEqual([JSON.parse(body).event])
  expect(events).toMatchObject([{ ...EXPECTED, source: '/shop/lambda', subject: 'c1' }])
  expect((await invoke(await nobody())).statusCode).toBe(503)
})
