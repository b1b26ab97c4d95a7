/** What stops the service, through whatever stands between it and who asks, and what does not. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join, resolve } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { lockHolder } from '../../app/log/embedded/directory.ts'
import { CLI, deliveredIn, post, startService, until, whenReady } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const PROJECT = resolve(import.meta.dirname, '..')
const START_WITHIN_MS = 30_000

function environment(directory: string, more: Record<string, string> = {}): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    DATA_DIR: join(directory, 'data'),
    FILE_SINK_DIR: join(directory, 'data/delivered'),
    PORT: '0',
    ADMIN_PORT: '0',
    SHUTDOWN_GRACE_MS: '0',
    ...more,
  }
}

/** Ends all of what `child` started, whatever becomes of the test. */
function endWithTest(child: ChildProcess): void {
  onTestFinished(() => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL')
    } catch {} // nothing is left, as it should be
  })
}

/** An http receiver that holds its answers back: what stops meanwhile drains. */
async function slowReceiver(holdMs: number): Promise<{ url: string; received: () => number }> {
  let received = 0
  const server = createServer((request, response) => {
    received += 1
    request.resume()
    setTimeout(() => response.writeHead(204).end(), holdMs)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received: () => received }
}

describe.each(['start', 'dev'])('npm run %s', (script) => {
  test.each([
    ['SIGTERM', 'to npm alone, as a supervisor sends it'],
    ['SIGINT', 'to npm alone'],
    ['SIGINT', 'to all of the terminal, as Ctrl-C does: npm hands it on once more'],
    ['SIGTERM', 'to all of a group'],
  ] as const)(
    '%s %s: drained, exit code 0, and nothing is left on the port',
    async (signal, to) => {
      const directory = temporaryDirectory()
      const receiver = await slowReceiver(300)
      const child = spawn('npm', ['run', script], {
        cwd: PROJECT,
        env: environment(directory, { SINKS: 'file,http', HTTP_SINK_URL: receiver.url }),
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      })
      endWithTest(child)
      const service = await whenReady(child, START_WITHIN_MS)
      expect((await post(service, { id: 'last', data: 1 })).status).toBe(202)
      await until(() => receiver.received() === 1, 10_000, 'on its way')
      const ended = once(child, 'exit')
      process.kill(to.includes('alone') ? (child.pid ?? 0) : -(child.pid ?? 0), signal)
      expect(await ended, service.output()).toEqual([0, null])
      expect(service.output()).toMatch(/stopped, exit code 0/)
      await expect(fetch(service.url)).rejects.toThrow()
      expect(deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id)).toEqual(['last'])
      expect(() => process.kill(-(child.pid ?? 0), 0)).toThrow(/ESRCH/)
    },
    60_000,
  )
})

test('a second signal within a moment is the same one; a later one ends the drain, exit code 1', async () => {
  const receiver = await slowReceiver(60_000)
  const options = {
    SINKS: 'http',
    HTTP_SINK_URL: receiver.url,
    HTTP_SINK_TIMEOUT_MS: '60000',
    SHUTDOWN_DRAIN_MS: '60000',
  }
  const service = await startService(temporaryDirectory(), options)
  await post(service, { data: 1 })
  await until(() => receiver.received() === 1, 10_000, 'on its way')
  for (const signal of ['SIGINT', 'SIGINT', 'SIGTERM'] as const) service.process.kill(signal)
  await new Promise((done) => setTimeout(done, 1500))
  expect(service.process.exitCode).toBeNull()
  expect(await service.stop('SIGTERM')).toBe(1)
  expect(service.output()).toMatch(/second SIGTERM: stopping at once/)
})

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s while it starts: it ends with 0 as soon as it has, and is never ready',
  async (signal) => {
    // A database that takes connections and says nothing holds the start up.
    const silent = createTcpServer().listen(0, '127.0.0.1')
    onTestFinished(() => void silent.close())
    await once(silent, 'listening')
    let connected = false
    silent.on('connection', (socket) => {
      connected = true
      socket.on('error', () => undefined).resume()
      onTestFinished(() => void socket.destroy())
    })
    const directory = temporaryDirectory()
    const { port } = silent.address() as AddressInfo
    const postgres = { POSTGRES_SINK_URL: `postgres://me@127.0.0.1:${port}/db`, POSTGRES_SINK_TIMEOUT_MS: '2000' }
    const child = spawn(process.execPath, [CLI, 'serve'], {
      env: environment(directory, { SINKS: 'file,postgres', ...postgres }),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    endWithTest(child)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
    const ended = once(child, 'exit')
    await until(() => connected, START_WITHIN_MS, 'it is starting')
    child.kill(signal)
    expect(await ended, output).toEqual([0, null])
    expect(output).not.toMatch(/ready: /)
  },
)

describe('SIGHUP', () => {
  test('nohup millrace serve &: it stays', async () => {
    const directory = temporaryDirectory()
    const child = spawn('nohup', [process.execPath, CLI, 'serve'], {
      env: environment(directory),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    endWithTest(child)
    const service = await whenReady(child, START_WITHIN_MS)
    child.kill('SIGHUP')
    await until(
      () => /SIGHUP: there is no terminal, so the service goes on/.test(service.output()),
      10_000,
      'it says so',
    )
    expect((await post(service, { data: 1 })).status).toBe(202)
    expect(await service.stop('SIGTERM')).toBe(0)
  })

  test.runIf(spawnSync('script', ['--version']).status === 0)(
    'a terminal that is closed: it stops in order',
    async () => {
      const directory = temporaryDirectory()
      const log = join(directory, 'typescript')
      // `script` gives it a terminal of its own, which goes when script does.
      const child = spawn('script', ['-qfc', `exec ${process.execPath} ${CLI} serve`, log], {
        env: { ...environment(directory), SHELL: '/bin/sh' },
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
      })
      endWithTest(child)
      const service = await whenReady(child, START_WITHIN_MS)
      expect((await post(service, { id: 'last', data: 1 })).status).toBe(202)
      child.kill('SIGKILL')
      await until(
        () =>
          fetch(service.url).then(
            () => false,
            () => true,
          ),
        START_WITHIN_MS,
        'the port is free',
      )
      const delivered = join(directory, 'data/delivered')
      await until(() => deliveredIn(delivered).length === 1, 10_000, 'what was begun is finished')
      await until(async () => (await lockHolder(join(directory, 'data/log'))) === undefined, 10_000, 'it has ended')
    },
  )
})
