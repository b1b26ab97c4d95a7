/** `millrace send`: every event of the input is stored, or named by its line; whatever answers. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { millrace } from '../support/millrace.ts'
import { CLI, deliveredIn, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const MAX_BODY_BYTES = 4096
const LIMITED = { MAX_BODY_BYTES: String(MAX_BODY_BYTES), MAX_REQUEST_EVENTS: '10' }
const line = (id: number | string, data: unknown = id) => JSON.stringify({ id: String(id), data })

/** A server that answers as it is told; what it was sent, body by body. */
async function answering(
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
  host = '127.0.0.1',
) {
  const bodies: string[] = []
  const urls: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      bodies.push(body)
      urls.push(request.url ?? '')
      answer(request, response, body)
    })
  }).listen(0, host)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`, bodies, urls }
}

const accept = (_: IncomingMessage, response: ServerResponse, body: string) =>
  void response
    .writeHead(202, { 'content-type': 'application/json' })
    .end(JSON.stringify({ accepted: body.trimEnd().split('\n').length }))

describe('to a service with its limits', () => {
  test('splits by bytes and events, one that is too large costs only itself, and each is named by its line', async () => {
    const cwd = temporaryDirectory()
    const service = await startService(cwd, LIMITED)
    const lines = [
      ...Array.from({ length: 40 }, (_, id) => line(id, 'x'.repeat(300))),
      '',
      line('large', 'x'.repeat(2 * MAX_BODY_BYTES)),
      line('after'),
      '{"id":"no data"}',
      'no JSON',
      line('last'),
    ]
    writeFileSync(join(cwd, 'events.ndjson'), lines.join('\n'))
    // It neither knows nor is told what the service takes.
    const run = await millrace(['send', 'events.ndjson', '--url', service.url, '-q', '--batch', '100'], { cwd })
    expect([run.code, run.stdout]).toEqual([1, expect.stringMatching(/^accepted 42, rejected 3, failed 0/)])
    expect(run.stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^line 42: 413: /),
      expect.stringMatching(/^line 44: data is missing/),
      expect.stringMatching(/^line 45: /),
    ])
    const delivered = join(cwd, 'data/delivered')
    await until(() => deliveredIn(delivered).length >= 42, 10_000, 'all delivered')
    const ids = deliveredIn(delivered).map(({ id }) => id)
    expect(ids.sort()).toEqual([...Array.from({ length: 40 }, (_, id) => String(id)), 'after', 'last'].sort())
    expect(await service.stop()).toBe(0)
  }, 30_000)

  test('takes .gz, .zst, arrays and one object over several lines; Latin-1 costs the event, not the others', async () => {
    const cwd = temporaryDirectory()
    const service = await startService(cwd)
    const inputs: Record<string, Buffer | string> = {
      'two.gz': Buffer.concat([gzipSync(`${line('g1')}\n`), gzipSync(line('g2'))]),
      'frames.zst': Buffer.concat(['z1', 'z2', 'z3'].map((id) => zstdCompressSync(`${line(id)}\n`))),
      'array.json': `[${line('a1')},\n${line('a2')}]`,
      'one.json': JSON.stringify({ id: 'o1', data: { a: 1 } }, undefined, 2),
      'windows.ndjson': `\ufeff${line('w1')}\r\n${line('w2')}\r\n`,
    }
    for (const [name, content] of Object.entries(inputs)) {
      writeFileSync(join(cwd, name), content)
      const run = await millrace(['send', name, '--url', service.url], { cwd })
      expect([run.code, run.stderr], name).toEqual([0, ''])
    }
    expect((await millrace(['send', '-', '--url', service.url], { input: inputs['two.gz'] ?? '' })).code).toBe(0)
    const latin1 = Buffer.from(`${line('l1')}\n${line('l2', 'café')}\n${line('l3')}\n`, 'latin1')
    const refused = await millrace(['send', '-', '--url', service.url], { input: latin1 })
    expect([refused.code, refused.stdout]).toEqual([1, expect.stringMatching(/^accepted 2, rejected 1, failed 0/)])
    expect(refused.stderr).toMatch(/^line 2: not UTF-8 at byte \d+ of the line \(0xe9\)/)
    writeFileSync(join(cwd, 'cut.gz'), gzipSync(`${line('c1')}\n`.repeat(1000)).subarray(0, -5))
    const cut = await millrace(['send', 'cut.gz', '--url', service.url], { cwd })
    expect([cut.code, cut.stderr]).toEqual([
      1,
      expect.stringMatching(/cannot read cut\.gz \(its gzip data is damaged or cut short/),
    ])
    const delivered = join(cwd, 'data/delivered')
    const ids = () => [...new Set(deliveredIn(delivered).map(({ id }) => id))].filter((id) => id !== 'c1')
    await until(() => ids().length === 12, 10_000, 'all delivered')
    expect(ids().sort()).toEqual(['a1', 'a2', 'g1', 'g2', 'l1', 'l3', 'o1', 'w1', 'w2', 'z1', 'z2', 'z3'])
    expect(await service.stop()).toBe(0)
  }, 60_000)
})

describe('where it sends', () => {
  test('keeps the path and the query of --url, and takes the address that the service prints', async () => {
    const { url, urls } = await answering(accept)
    for (const given of [`${url}/prefix/`, `${url}/a/b?tenant=1`, `${url}/v1/events`, `${url}/v1/events/`, url])
      expect((await millrace(['send', '--url', given, '-n', '1', '-q'])).code, given).toBe(0)
    expect(urls).toEqual(['/prefix/v1/events', '/a/b/v1/events?tenant=1', '/v1/events', '/v1/events', '/v1/events'])
  })

  test('IPv6 hosts, named or from the environment', async () => {
    const { url } = await answering(accept, '::1')
    const { port } = new URL(url)
    expect((await millrace(['send', '--url', url, '-n', '1', '-q'])).code).toBe(0)
    for (const HOST of ['::1', '::'])
      expect((await millrace(['send', '-n', '1', '-q'], { env: { HOST, PORT: port } })).code, HOST).toBe(0)
  })

  test.each([
    ['http://me:secret@127.0.0.1:1', /--url holds a user or a password/],
    ['ftp://127.0.0.1', /is no URL that begins with http/],
    ['[::1]:3000', /is no URL/],
  ])('%s is no address: exit code 2 and why, without a secret', async (url, why) => {
    const run = await millrace(['send', '--url', url, '-n', '1'])
    expect([run.code, run.stderr]).toEqual([2, expect.stringMatching(why)])
    expect(run.stderr).not.toContain('secret')
  })

  test('a key that no header can carry is refused, and not shown', async () => {
    const run = await millrace(['send', '--key', 'secret\nkey', '-n', '1'])
    expect([run.code, run.stderr]).toEqual([2, expect.stringMatching(/^millrace: --key: it holds/)])
    expect(run.stderr).not.toContain('secret')
  })
})

describe('what answers', () => {
  const html = (status: number) => (_: IncomingMessage, response: ServerResponse) =>
    void response
      .writeHead(status, { 'content-type': 'text/html', location: '/login' })
      .end('<!doctype html>\u001b[31m')

  test.each([
    ['HTML', html(200)],
    ['a page that is not there', html(404)],
    ['a login', html(302)],
    ['an accepted page', html(202)],
    ['another JSON', (_: IncomingMessage, response: ServerResponse) => void response.writeHead(200).end('{"ok":true}')],
    [
      'a 202 that counts nothing',
      (_: IncomingMessage, response: ServerResponse) => void response.writeHead(202).end('{}'),
    ],
    ['nothing', (_: IncomingMessage, response: ServerResponse) => void response.writeHead(200).end()],
  ])('%s is no Millrace: said once, with the URL, and nothing more is sent', async (_, answer) => {
    const { url, bodies } = await answering(answer)
    const run = await millrace(['send', '--url', `${url}/x?key=secret`, '-n', '500', '-b', '1', '-c', '1', '-q'])
    expect([run.code, run.stdout]).toEqual([1, expect.stringMatching(/^accepted 0, rejected 0, failed 1;/)])
    expect(run.stderr).toMatch(new RegExp(`stopped: ${url}/x/v1/events is not a Millrace: it answered \\d+ `))
    for (const hidden of ['\u001b', 'secret']) expect(run.stderr).not.toContain(hidden)
    expect(bodies.length).toBe(1)
  })

  test('a count that is not what was sent is not taken for success', async () => {
    const { url } = await answering((_, response) => void response.writeHead(202).end('{"accepted":1}'))
    const run = await millrace(['send', '--url', url, '-n', '3', '-q'])
    expect([run.code, run.stderr]).toEqual([1, expect.stringMatching(/the service counted 1 events where 3 were sent/)])
  })

  test('a proxy that takes less, and says so in HTML: halves, and smaller ones from then on', async () => {
    const { url, bodies } = await answering((request, response, body) =>
      body.length > 1000 ? html(413)(request, response) : accept(request, response, body),
    )
    const run = await millrace(['send', '--url', url, '-n', '1000', '-c', '1', '-q'])
    expect([run.code, run.stdout]).toEqual([0, expect.stringMatching(/^accepted 1000, rejected 0, failed 0/)])
    const ids = bodies.filter((body) => body.length <= 1000).flatMap((body) => body.trimEnd().split('\n'))
    expect(ids.map((one) => JSON.parse(one).id)).toEqual(Array.from({ length: 1000 }, (_, at) => at + 1))
    expect(bodies.filter((body) => body.length > 1000).length).toBeLessThan(4)
  })

  test('events that were sound and not stored are sent again, and only those', async () => {
    let first = true
    const { url, bodies } = await answering((request, response, body) => {
      if (!first) return accept(request, response, body)
      first = false
      const rejected = [
        { index: 0, reason: 'data is missing' },
        { index: 2, reason: 'not stored', retryable: true },
      ]
      response.writeHead(202).end(JSON.stringify({ accepted: 1, rejected }))
    })
    const run = await millrace(['send', '-', '--url', url], { input: ['a', 'b', 'c'].map((id) => line(id)).join('\n') })
    expect([run.code, run.stdout]).toEqual([1, expect.stringMatching(/^accepted 2, rejected 1, failed 0; 1 requests/)])
    expect(run.stderr).toBe('line 1: data is missing\n')
    expect(bodies[1]).toBe(`${line('c')}\n`)
  })

  test.each(['0', '1', new Date(Date.now() - 60_000).toUTCString(), 'soon', '-1'])(
    'refused for a moment, Retry-After %s: sent again, not in a storm',
    async (retryAfter) => {
      let refusals = 3
      const { url, bodies } = await answering((request, response, body) => {
        if (refusals-- <= 0) return accept(request, response, body)
        response.writeHead(503, { 'retry-after': retryAfter }).end('{"detail":"full"}')
      })
      const startedAt = performance.now()
      const run = await millrace(['send', '--url', url, '-n', '1', '-q'])
      expect([run.code, run.stdout]).toEqual([0, expect.stringMatching(/3 requests were refused for a moment/)])
      expect(bodies.length).toBe(4)
      expect(performance.now() - startedAt).toBeGreaterThan(300)
    },
  )

  test('a connection that breaks: sent again, and the sender hears that events may be stored twice', async () => {
    let broken = 2
    const { url } = await answering((request, response, body) => {
      if (broken-- > 0) request.socket.destroy()
      else accept(request, response, body)
    })
    const run = await millrace(['send', '--url', url, '-n', '1', '-q'])
    expect([run.code, run.stderr]).toEqual([0, expect.stringMatching(/2 requests got no answer .* stored twice/)])
  })

  test('nobody there: it ends soon, and says from which line on nothing was sent', async () => {
    const closed = createTcpServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as AddressInfo
    closed.close()
    const run = await millrace(['send', '-', '--url', `http://127.0.0.1:${port}`], {
      input: `\n${line(1)}\n`.repeat(1000),
    })
    expect([run.code, run.stderr]).toEqual([
      1,
      expect.stringMatching(
        /stopped: no answer from http:\/\/127\.0\.0\.1:\d+\/v1\/events \(.*ECONNREFUSED.*\): is it running\?\nevery line before 2 was sent/,
      ),
    ])
    expect(run.stderr).not.toMatch(/twice/)
  }, 30_000)
})

test.each(['SIGINT', 'SIGTERM'] as const)('%s in the middle of a pipe: it says how far it came', async (signal) => {
  const { url, bodies } = await answering(accept)
  const child = spawn(process.execPath, [CLI, 'send', '-', '--url', url, '--batch', '1'], { stdio: 'pipe' })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  child.stdin.write(`${line(1)}\n${line(2)}\n`)
  await until(() => bodies.length > 0, 10_000, 'the first is sent')
  child.kill(signal)
  child.kill(signal) // as by way of npm
  const [code] = await once(child, 'close')
  expect(code, output).toBe(1)
  expect(output).toMatch(new RegExp(`accepted [12], .*stopped: by ${signal}\nevery line before [23] was sent`, 's'))
})
