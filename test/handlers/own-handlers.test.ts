/** Handlers and routes as a user writes them: in the config file of a copy of the project, run by the real service. */
import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { freePorts } from '../support/ports.ts'
import { deliveredIn, type Service, scrape, until, whenReady } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CONFIG = 'millrace.config.ts'
const EVENTS = 2000
const QUICK = { RETRY_BASE_MS: '1', RETRY_MAX_MS: '5', RETRY_MAX_ATTEMPTS: '3', SHUTDOWN_GRACE_MS: '0' }

interface Project {
  readonly directory: string
  /** Writes handlers/<name>.ts, which exports a handler of that name, and names it in millrace.config.ts. */
  handler(name: string, body: string): void
  start(environment?: Record<string, string>): Promise<Service>
  millrace(...args: string[]): Promise<string>
}

function copyProject(): Project {
  const directory = temporaryDirectory()
  for (const part of ['app', 'package.json']) cpSync(join(ROOT, part), join(directory, part), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  for (const made of ['data', 'handlers']) mkdirSync(join(directory, made))
  const names: string[] = []
  return {
    directory,
    handler: (name, body) => {
      if (!names.includes(name)) names.push(name)
      const text = `import type { Handler } from 'millrace'\nexport const ${name}: Handler = ${body}\n`
      writeFileSync(join(directory, `handlers/${name}.ts`), text)
      const imports = names.map((one) => `import { ${one} } from './handlers/${one}.ts'\n`).join('')
      const config = `export default defineConfig({ handlers: { ${names.join(', ')} } })\n`
      writeFileSync(join(directory, CONFIG), `import { defineConfig } from 'millrace'\n${imports}${config}`)
    },
    start: (environment = {}) => whenReady(spawnIn(directory, [], { ...QUICK, ...environment })),
    millrace: async (...args) => {
      const env = { PATH: process.env.PATH }
      return (await run(process.execPath, ['app/cli.ts', ...args], { cwd: directory, env })).stdout
    },
  }
}

function spawnIn(directory: string, flags: string[], environment: Record<string, string>) {
  return spawn(process.execPath, [...flags, 'app/cli.ts', 'serve'], {
    cwd: directory,
    env: { PATH: process.env.PATH, PORT: '0', ADMIN_PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

async function send(url: string, events: readonly object[]): Promise<void> {
  const headers = { 'content-type': 'application/x-ndjson' }
  const body = events.map((event) => JSON.stringify(event)).join('\n')
  expect((await fetch(`${url}/v1/events`, { method: 'POST', headers, body })).status).toBe(202)
}

const noLag = (service: Service, sink = 'file') =>
  until(
    async () => (await scrape(service)).get(`millrace_delivery_lag_events{sink="${sink}"}`) === 0,
    20_000,
    'everything is settled',
  )
const idsIn = (directory: string) => deliveredIn(directory).map(({ id }) => Number(id))
const numbers = Array.from({ length: EVENTS }, (_, id) => id)

describe('a handler that throws for one event in a hundred', () => {
  test.each([
    ['where requests are served', '0'],
    ['on threads', '2'],
  ])('%s: exactly those are dead letters, with the stack; after a fix a replay delivers them', async (_, threads) => {
    const project = copyProject()
    const environment = { HANDLERS: 'check', HANDLER_THREADS: threads }
    const delivered = join(project.directory, 'data/delivered')
    project.handler(
      'check',
      `(event) => {\n  if (Number(event.id) % 100 === 7) throw new Error(\`no \${event.id}\`)\n  return event\n}`,
    )
    const service = await project.start(environment)
    await send(
      service.url,
      numbers.map((id) => ({ id, subject: `s${id % 50}`, data: { id } })),
    )
    await noLag(service)
    const letters = (await project.millrace('dlq', 'list', '--json', '--limit', '100')).trim().split('\n')
    const failed = numbers.filter((id) => id % 100 === 7)
    expect(letters.map((line) => Number(JSON.parse(line).event.id)).sort((a, b) => a - b)).toEqual(failed)
    for (const line of letters) {
      const { event, reason, attempts } = JSON.parse(line)
      expect(reason).toMatch(new RegExp(`^Error: no ${event.id}\\n +at .*check .*/handlers/check.ts:3:`))
      expect(attempts).toBe(3)
    }
    expect(idsIn(delivered).sort((a, b) => a - b)).toEqual(numbers.filter((id) => id % 100 !== 7))
    expect(await service.stop()).toBe(0)

    project.handler('check', '(event) => event')
    const repaired = await project.start(environment)
    expect(await project.millrace('dlq', 'replay', '--admin', repaired.adminUrl)).toMatch(/20/)
    await until(() => idsIn(delivered).length === EVENTS, 10_000, 'the rest is delivered')
    expect(idsIn(delivered).sort((a, b) => a - b)).toEqual(numbers)
    expect(await repaired.stop()).toBe(0)
  })
})

test('on a thread a handler that never gives back the CPU is ended in time: its event is a dead letter, the service answers meanwhile', async () => {
  const project = copyProject()
  project.handler('busy', `(event) => {\n  while (event.id === '3') {}\n  return event\n}`)
  // Long enough for another thread to start on a busy machine: that is part of the next event's time.
  const environment = { HANDLERS: 'busy', HANDLER_THREADS: '1', HANDLER_TIMEOUT_MS: '1000' }
  const service = await project.start(environment)
  await send(
    service.url,
    numbers.slice(0, 10).map((id) => ({ id, subject: `s${id}`, data: 1 })),
  )
  const slowest: number[] = []
  for (let at = 0; at < 20; at++) {
    const startedAt = performance.now()
    await fetch(`${service.url}/health/live`)
    slowest.push(performance.now() - startedAt)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  expect(Math.max(...slowest)).toBeLessThan(250)
  await noLag(service)
  expect(idsIn(join(project.directory, 'data/delivered')).sort((a, b) => a - b)).toEqual([0, 1, 2, 4, 5, 6, 7, 8, 9])
  expect(await project.millrace('dlq', 'list', '--json')).toMatch(/handler busy took longer than 1000 ms/)
  expect(await service.stop()).toBe(0)
})

test('a timer that a handler leaves behind on its thread and that throws ends nothing but the thread', async () => {
  const project = copyProject()
  project.handler('stray', `(event) => {\n  setTimeout(() => { throw new Error('stray') }, 50)\n  return event\n}`)
  const service = await project.start({ HANDLERS: 'stray', HANDLER_THREADS: '1' })
  for (const id of [1, 2, 3]) {
    await send(service.url, [{ id, data: 1 }])
    await noLag(service)
    await until(() => service.output().split('ended between two calls: stray').length > id, 5000, 'it is said')
  }
  expect(idsIn(join(project.directory, 'data/delivered')).sort()).toEqual([1, 2, 3])
  expect(await service.stop()).toBe(0)
})

test('on a thread that begins after its handler has left the config file, events become dead letters and none is dropped', async () => {
  const project = copyProject()
  project.handler('gone', '() => process.exit()') // ends the thread: the next one loads the file as it is by then
  const service = await project.start({ HANDLERS: 'gone', HANDLER_THREADS: '1' })
  writeFileSync(join(project.directory, CONFIG), 'export default {}\n')
  await send(service.url, [{ id: 1, data: 1 }])
  await noLag(service)
  expect(idsIn(join(project.directory, 'data/delivered'))).toEqual([])
  const letters = await project.millrace('dlq', 'list', '--json')
  expect(JSON.parse(letters)).toMatchObject({
    event: { id: '1' },
    reason: expect.stringMatching(/handler gone is not in millrace\.config\.ts any more: start the service again/),
  })
  expect(await service.stop()).toBe(0)
})

test('routes of the config file: filtered, through their handlers, each with its own offsets', async () => {
  const project = copyProject()
  project.handler('stamp', '(event) => ({ ...event, stamped: true })')
  writeFileSync(
    join(project.directory, CONFIG),
    `import { defineConfig, ofType } from 'millrace'
     import { stamp } from './handlers/stamp.ts'
     export default defineConfig({ handlers: { stamp }, routes: [
       { name: 'orders', filter: ofType('order.*'), handlers: ['stamp'], sink: 'file', options: { FILE_SINK_DIR: 'data/orders' } },
       { name: 'large', filter: ({ data }) => Number(data) > 5, sink: 'file', options: { FILE_SINK_DIR: 'data/large' } },
     ] })\n`,
  )
  const service = await project.start()
  const types = ['order.created', 'order.paid', 'page.viewed']
  await send(
    service.url,
    numbers.slice(0, 12).map((id) => ({ id, type: types[id % 3], data: id })),
  )
  await Promise.all([noLag(service, 'orders'), noLag(service, 'large')])
  const orders = deliveredIn(join(project.directory, 'data/orders'))
  expect(orders.map(({ id }) => Number(id))).toEqual([0, 1, 3, 4, 6, 7, 9, 10])
  expect(orders.every((event) => 'stamped' in event)).toBe(true)
  expect(idsIn(join(project.directory, 'data/large'))).toEqual([6, 7, 8, 9, 10, 11])
  const samples = await scrape(service)
  expect(samples.get('millrace_events_filtered_total{sink="orders"}')).toBe(4)
  expect(samples.get('millrace_events_filtered_total{sink="large"}')).toBe(6)
  expect(await service.stop()).toBe(0)
})

/** The service as `npm run dev` has it, in a project. */
function watch(project: Project, environment: Record<string, string>) {
  const flags = /--watch/.exec(readFileSync(join(ROOT, 'package.json'), 'utf8')) ?? []
  const watching = spawnIn(project.directory, [...flags], { ...QUICK, ...environment })
  onTestFinished(() => void watching.kill('SIGTERM')) // ends what it watches, too
  let output = ''
  for (const stream of [watching.stdout, watching.stderr]) stream.on('data', (chunk) => (output += chunk))
  return {
    says: (text: string, count: number) =>
      until(() => output.split(text).length > count, 15_000, `${text} is said ${count} times:\n${output}`),
    stop: async () => {
      const ended = new Promise((resolve) => watching.once('exit', resolve))
      watching.kill('SIGTERM')
      await ended
    },
  }
}

test.each(['0', '1'])(
  'npm run dev with HANDLER_THREADS=%s: a handler that is saved is the one that runs next',
  async (HANDLER_THREADS) => {
    const project = copyProject()
    project.handler('mark', `(event) => ({ ...event, mark: 'first' })`)
    const [port = 0, adminPort = 0] = await freePorts(2)
    const ports = { PORT: String(port), ADMIN_PORT: String(adminPort) }
    const service = watch(project, { HANDLERS: 'mark', HANDLER_THREADS, ...ports })
    const delivered = () => deliveredIn(join(project.directory, 'data/delivered')) as { mark?: string }[]
    await service.says('ready: ', 1)
    await send(`http://127.0.0.1:${port}`, [{ data: 1 }])
    await until(() => delivered().length === 1, 5000, 'the first event')
    project.handler('mark', `(event) => ({ ...event, mark: 'second' })`)
    await service.says('ready: ', 2)
    await send(`http://127.0.0.1:${port}`, [{ data: 2 }])
    await until(() => delivered().length === 2, 5000, 'the second event')
    expect(delivered().map(({ mark }) => mark)).toEqual(['first', 'second'])
    await service.stop()
  },
)

test('npm run dev: a mistake in the config file is said, and the service is back once it is corrected', {
  timeout: 60_000,
}, async () => {
  const project = copyProject()
  const config = join(project.directory, CONFIG)
  writeFileSync(config, 'export default { handlers: {} }\n')
  const service = watch(project, { PORT: '0', ADMIN_PORT: '0' })
  await service.says('ready: ', 1)
  writeFileSync(config, 'export default { handlers: { \n')
  await service.says(`${CONFIG}: it cannot be loaded, line `, 1)
  await service.says('Failed running', 1)
  writeFileSync(config, 'export default { handler: {} }\n')
  await service.says(`${CONFIG}: there is no "handler" in it: did you mean handlers?`, 1)
  await service.says('Failed running', 2)
  writeFileSync(config, 'export default { handlers: {} }\n')
  await service.says('ready: ', 2)
  await service.stop()
})
