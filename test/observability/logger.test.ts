/** The service's log, where nobody reads it, where there is no room for it, and where a terminal would act on it. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startEndpoint } from '../support/endpoint.ts'
import { freePorts } from '../support/ports.ts'
import { CLI, caughtUp, post, startService, until, whenReady } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

test('a reader of the log that goes away: the service goes on serving, and stops in order', async () => {
  const endpoint = await startEndpoint(() => 400)
  const environment = { SINKS: 'file,http', HTTP_SINK_URL: endpoint.url, LOG_LEVEL: 'trace' }
  const service = await startService(temporaryDirectory(), environment)
  service.process.stdout?.destroy()
  service.process.stderr?.destroy()
  for (let round = 0; round < 5; round++) {
    service.process.kill('SIGHUP') // each is a line of the log
    for (let id = 0; id < 5; id++) expect((await post(service, { id, data: 1 })).status).toBe(202)
  }
  await caughtUp(service, ['file', 'http'])
  expect(await service.stop('SIGTERM')).toBe(0)
})

test('a log on a full disk: the service goes on serving, and stops in order', async () => {
  const [port, adminPort] = await freePorts(2)
  const directory = temporaryDirectory()
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, [CLI, 'serve'], {
    cwd: directory,
    env: { PATH: process.env.PATH, PORT: String(port), ADMIN_PORT: String(adminPort), SHUTDOWN_GRACE_MS: '0' },
    stdio: ['ignore', full, full],
  })
  closeSync(full)
  onTestFinished(() => void child.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  await until(
    () =>
      fetch(`${url}/health/ready`).then(
        ({ ok }) => ok,
        () => false,
      ),
    30_000,
    'ready',
  )
  expect((await post({ url }, { data: 1 })).status).toBe(202)
  const ended = new Promise((resolve) => child.on('exit', resolve))
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
})

test('lines that could not be written are counted, and the next one that can be says how many', () => {
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { LineWriter } from ${JSON.stringify(new URL('../../app/observability/logger.ts', import.meta.url).href)}
       import { closeSync, openSync } from 'node:fs'
       closeSync(1); openSync('/dev/full', 'w')
       const writer = new LineWriter(1, (line) => line + '\\n')
       writer.write('lost'); writer.write('lost')
       closeSync(1); openSync(${JSON.stringify(join(temporaryDirectory(), 'log'))}, 'w+')
       writer.write('kept')
       const { readFileSync } = await import('node:fs')
       const text = readFileSync('/proc/self/fd/1', 'utf8')
       process.exit(/"msg":"2 lines of this log could not be written"}\\nkept\\n$/.test(text) ? 0 : 1)`,
    ],
    { encoding: 'utf8' },
  )
  expect([status, stdout]).toEqual([0, ''])
})

test.runIf(spawnSync('script', ['--version']).status === 0)(
  'what a receiver answers does nothing to the terminal that the log is on, nor to one that shows its JSON',
  async () => {
    const nasty = '\u001b]0;owned\u0007\u009b31m\u007f\u202egnp.\u2066\rdone'
    const receiver = createServer((_, response) => void response.writeHead(503).end(nasty)).listen(0, '127.0.0.1')
    onTestFinished(() => {
      receiver.closeAllConnections()
      receiver.close()
    })
    await new Promise((done) => receiver.once('listening', done))
    const { port } = receiver.address() as { port: number }
    const environment = { SINKS: 'http', HTTP_SINK_URL: `http://127.0.0.1:${port}`, SHUTDOWN_DRAIN_MS: '0' }
    const piped = await startService(temporaryDirectory(), environment)
    const directory = temporaryDirectory()
    const child = spawn('script', ['-qfc', `exec ${process.execPath} ${CLI} serve`, '/dev/null'], {
      cwd: directory,
      env: {
        PATH: process.env.PATH,
        SHELL: '/bin/sh',
        PORT: '0',
        ADMIN_PORT: '0',
        SHUTDOWN_GRACE_MS: '0',
        ...environment,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const onTerminal = await whenReady(child, 30_000)
    for (const service of [piped, onTerminal]) {
      await post(service, { data: 1 })
      await until(() => service.output().includes('answered 503'), 10_000, 'the log has it')
      for (const part of ['\u001b]0', '\u0007', '\u009b', '\u007f', '\u202e', '\u2066', '\rdone'])
        expect(service.output(), JSON.stringify(part)).not.toContain(part)
      expect(service.output()).toContain('\\u001b]0;owned\\u0007')
    }
    await piped.stop('SIGTERM')
    const ended = once(child, 'exit')
    child.stdin?.write('\u0003') // Ctrl-C
    expect(await ended).toEqual([0, null])
  },
)
