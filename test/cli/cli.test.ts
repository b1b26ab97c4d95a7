/** The command line as its users run it: child processes, exit codes, one line for what is wrong. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { millrace } from '../support/millrace.ts'
import { deliveredIn, scrape, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

describe('help and usage', () => {
  test.each([
    [],
    ['serve'],
    ['config'],
    ['plan'],
    ['send'],
    ['log'],
    ['log', 'inspect'],
    ['log', 'verify'],
    ['log', 'replay'],
    ['dlq'],
    ['dlq', 'list'],
    ['dlq', 'replay'],
  ])('millrace %s %s --help', async (...args) => {
    const { code, stdout } = await millrace([...args.filter((arg) => typeof arg === 'string'), '--help'])
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^Usage: millrace/)])
  })

  test('the exit codes are documented', async () => {
    expect((await millrace(['--help'])).stdout).toMatch(/Exit codes: 0 done · 1 .* · 2 /)
  })

  test.each([
    [['fly']],
    [['send', '--fast']],
    [['send', '--count', 'many']],
    [['log', 'inspect', '--from', '-1']],
    [['send', '--url', 'localhost:3000']],
    [['send', '--max-bytes', '0']],
    [['send', '--concurrency', '1001']],
    [['dlq', 'list', '--limit', 'abc']],
    [['dlq', 'list', '--limit', '1e9']],
    [['dlq', 'list', '--limit', '99999999999999999999']],
    [['dlq', 'list', '--admin', 'localhost:9464']],
    [['dlq', 'replay', '--admin', 'http://user:secret@127.0.0.1:1']],
  ])('millrace %s is refused with exit code 2 and why', async (args) => {
    const { code, stderr } = await millrace(args)
    expect([code, stderr]).toEqual([2, expect.stringMatching(/error: |millrace: --(url|admin) /)])
  })

  const LOAD = ['plan', '--events-per-second', '1000', '--bytes', '273', '--retention', '24']
  test.each([
    [['plan', '--bytes', '273', '--retention', '24'], /required option .*--events-per-second/],
    [[...LOAD, '--bytes', '0'], /not a whole number from 1 to 1048576/],
    [[...LOAD, '--bytes', '1048577'], /not a whole number from 1 to 1048576/],
    [[...LOAD, '--events-per-second', '1e6'], /not a whole number from 1 to 10000000/],
    [[...LOAD, '--events-per-second', '10000001'], /not a whole number from 1 to 10000000/],
    [[...LOAD, '--retention', '5w'], /not a time from 1h to 3650d: write hours, such as 36, or 7d/],
    [[...LOAD, '--sinks', '101'], /not a whole number from 1 to 100/],
    [[...LOAD, '--replication', '1'], /Allowed choices are 2, 3/],
    [[...LOAD, '--events-per-request', '5000'], /more than MAX_BODY_BYTES=1048576: --events-per-request 3826 at most/],
  ])('%s is refused with exit code 2 and one line', async (args, why) => {
    const { code, stdout, stderr } = await millrace(args)
    expect([code, stdout, stderr.trimEnd().split('\n').length]).toEqual([2, '', 1])
    expect(stderr).toMatch(why)
  })

  test('plan takes days, and prints Markdown', async () => {
    const { stdout } = await millrace([...LOAD, '--retention', '7d', '--markdown'])
    expect(stdout).toContain('kept 7 days in 3 copies')
    expect(stdout).toMatch(/^\| brokers \| 3 × kafka\.m7g\.large \| .+ \| .+ \|$/m)
  })

  test('config shows the table of the README', async () => {
    expect((await millrace(['config', '--markdown'])).stdout).toContain('| `CHANNEL_CAPACITY_EVENTS` | `65536` |')
    expect((await millrace(['config', '--describe'])).stdout).toContain('PORT=3000\n')
  })
})

describe('serve refuses to start with one line that says what to do', () => {
  const oneLine = (pattern: RegExp) =>
    expect.stringMatching(new RegExp(`^millrace: [^\\n]*${pattern.source}[^\\n]*\\n$`))

  test('a bad value', async () => {
    const { code, stderr } = await millrace(['serve'], { env: { PORT: 'http' } })
    expect([code, stderr]).toEqual([2, oneLine(/PORT: "http" is not a whole number/)])
  })

  test('a handler that is not there', async () => {
    const { code, stderr } = await millrace(['serve'], { env: { HANDLERS: 'mine' } })
    expect([code, stderr]).toEqual([
      2,
      oneLine(/HANDLERS: there is no handler "mine" in \S*millrace\.config\.ts, which has sample/),
    ])
  })

  test('a data directory that cannot be written', async () => {
    const cwd = temporaryDirectory()
    writeFileSync(join(cwd, 'data'), 'a file')
    const { code, stderr } = await millrace(['serve'], { cwd, env: { PORT: '0', ADMIN_PORT: '0' } })
    expect([code, stderr]).toEqual([2, oneLine(/cannot use data\/log .* set DATA_DIR to another directory/)])
  })

  test('a port in use', async () => {
    const holder = createTcpServer().listen(0, '127.0.0.1')
    onTestFinished(() => void holder.close())
    await once(holder, 'listening')
    const { port } = holder.address() as AddressInfo
    const { code, stderr } = await millrace(['serve'], { env: { PORT: String(port), ADMIN_PORT: '0' } })
    expect([code, stderr]).toEqual([
      2,
      oneLine(
        new RegExp(`PORT: port ${port} on 127.0.0.1 is in use by another program: stop what uses it, or set PORT`),
      ),
    ])
  })

  test('a data directory in use', async () => {
    const cwd = temporaryDirectory()
    const service = await startService(cwd)
    const { code, stderr } = await millrace(['serve'], { cwd, env: { PORT: '0', ADMIN_PORT: '0' } })
    expect([code, stderr]).toEqual([
      2,
      oneLine(new RegExp(`in use by another Millrace \\(process ${service.process.pid}\\)`)),
    ])
    expect(await service.stop()).toBe(0)
  })

  test('a damaged segment does not stop it: it says where and goes on', async () => {
    const cwd = temporaryDirectory()
    const first = await startService(cwd)
    for (const id of [1, 2, 3])
      await millrace(['send', '--url', first.url, '--count', String(id), '--batch', '10', '-q'], { cwd })
    await first.stop()
    const path = join(cwd, 'data/log/00000000000000000000.seg')
    const bytes = readFileSync(path)
    bytes[bytes.indexOf('Event 2')] = 0x58
    writeFileSync(path, bytes)
    writeFileSync(join(cwd, 'data/log/consumers.json'), '{"version":1,"consumers":{}}')
    const second = await startService(cwd)
    await until(
      async () => (await scrape(second)).get('millrace_delivery_lag_events{sink="file"}') === 0,
      5000,
      'read to the end',
    )
    expect((await scrape(second)).get('millrace_events_damaged_total{sink="file"}')).toBe(2)
    expect(second.output()).toMatch(/the log is damaged here/)
    expect(await second.stop()).toBe(0)
    const { code, stdout } = await millrace(['log', 'verify'], { cwd })
    expect([code, stdout]).toEqual([
      1,
      expect.stringMatching(/DAMAGED 0{20}\.seg at \d+, \d+ bytes: checksum of the payload/),
    ])
  })
})

describe('send', () => {
  test('generated, from a file and from a pipe; then inspect, verify and replay what is stored', async () => {
    const cwd = temporaryDirectory()
    const service = await startService(cwd)
    const url = ['--url', service.url]
    const generated = await millrace(['send', ...url, '--count', '250', '--rate', '5000'], { cwd })
    expect([generated.code, generated.stdout]).toEqual([
      0,
      expect.stringMatching(
        /accepted 250, rejected 0, failed 0.*\n.* events\/s\nlatency of a request: p50 [\d.]+ ms, p99/,
      ),
    ])
    writeFileSync(join(cwd, 'events.ndjson'), '{"id":"f1","data":1}\n\n{"id":"f2","data":2}\n')
    expect((await millrace(['send', 'events.ndjson', ...url], { cwd })).stdout).toMatch(/^accepted 2, rejected 0/)
    expect((await millrace(['send', '-', ...url], { cwd, input: '{"id":"p1","data":1}' })).stdout).toMatch(
      /^accepted 1, rejected 0/,
    )

    // A line ends at a line feed only: JSON may hold U+2028 and U+2029 as they are.
    const separators = '{"id":"s1","data":"a\u2028b\u2029c"}\r\n{"id":"s2","data":1}\n'
    expect((await millrace(['send', '-', ...url], { cwd, input: separators })).stdout).toMatch(
      /^accepted 2, rejected 0/,
    )

    const bad = await millrace(['send', '-', ...url], { cwd, input: '{"id":"b1","data":1}\n{"id":"b2"}\n' })
    expect([bad.code, bad.stdout]).toEqual([1, expect.stringMatching(/accepted 1, rejected 1, failed 0/)])
    expect(bad.stderr).toMatch(/^line 2: data is missing/)

    // Beside the running service.
    const inspected = await millrace(['log', 'inspect', '--events', '--from', '250'], { cwd })
    expect([inspected.code, inspected.stdout]).toEqual([
      0,
      expect.stringMatching(/segment 0{20}\.seg[\s\S]*offsets 250–251[\s\S]*\{"id":"f1","data":1\}/),
    ])
    expect((await millrace(['log', 'verify'], { cwd })).stdout).toMatch(/256 events, .*\nsound: every checksum matches/)
    const replayed = await millrace(['log', 'replay', '--from', '249', '--to', '252'], { cwd })
    expect(
      replayed.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([{ id: '250' }, { specversion: '1.0', id: 'f1' }, { id: 'f2' }])
    expect((await millrace(['send', '-', ...url], { cwd, input: replayed.stdout })).stdout).toMatch(/^accepted 3/)
    await until(() => deliveredIn(join(cwd, 'data/delivered')).length === 259, 5000, 'all delivered')
    expect(await service.stop()).toBe(0)
  }, 30_000)

  test('no such log, no such service', async () => {
    const verify = await millrace(['log', 'verify'])
    expect([verify.code, verify.stderr]).toEqual([
      1,
      expect.stringMatching(/^millrace: cannot read .*name the log directory with --dir\n$/),
    ])
    const replay = await millrace(['dlq', 'replay', '--admin', 'http://127.0.0.1:1'])
    expect([replay.code, replay.stderr]).toEqual([
      1,
      expect.stringMatching(/no service answers on http:\/\/127\.0\.0\.1:1\/status .*start it/),
    ])
  })
})

test('handler test: what goes in, what comes out, and what failed', async () => {
  const cwd = temporaryDirectory()
  writeFileSync(join(cwd, 'events.ndjson'), '{"id":1,"data":"Event 1"}\n\n{"dat":2}\n')
  const { code, stdout } = await millrace(['handler', 'test', 'events.ndjson', '--handlers', 'sample'], { cwd })
  const lines = stdout.trimEnd().split('\n')
  expect(code).toBe(1)
  expect(lines[0]).toMatch(/^in {3}\{"specversion":"1\.0",.*"data":"Event 1"/)
  expect(lines[1]).toMatch(/^out {2}\{.*"handledat":"/)
  expect(lines[2]).toMatch(/^line 3 is no event: data is missing/)
  expect(lines[3]).toBe('2 in, 1 out, 0 dropped, 1 failed')
  const unknown = await millrace(['handler', 'test', 'events.ndjson', '--handlers', 'nobody'], { cwd })
  expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringMatching(/there is no handler "nobody"/)])
  const absent = await millrace(['handler', 'test', 'absent.ndjson', '--handlers', 'sample'], { cwd })
  expect([absent.code, absent.stderr]).toEqual([1, expect.stringMatching(/cannot read absent\.ndjson \(ENOENT/)])
})

test('dead letters: listed, and replayed once the endpoint takes them', async () => {
  let status = 410
  const received: string[] = []
  const endpoint = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      if (status === 200) received.push(JSON.parse(body).id)
      response.writeHead(status).end('gone')
    })
  }).listen(0, '127.0.0.1')
  onTestFinished(() => {
    endpoint.closeAllConnections()
    endpoint.close()
  })
  await once(endpoint, 'listening')
  const cwd = temporaryDirectory()
  const service = await startService(cwd, {
    SINKS: 'file,http',
    HTTP_SINK_URL: `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}`,
  })
  await millrace(['send', '--url', service.url, '--count', '7', '-q'], { cwd })
  const pending = async () => (await scrape(service)).get('millrace_dead_letters_pending{sink="http"}')
  await until(async () => (await pending()) === 7, 5000, 'seven dead letters')

  const listed = await millrace(['dlq', 'list', '--limit', '3'], { cwd })
  expect(listed.stdout.trimEnd().split('\n')).toEqual(
    Array.from({ length: 3 }, () =>
      expect.stringMatching(/http {2}offset \d+ {2}millrace \d+ {2}after 1 attempts: http.* answered 410: gone$/),
    ),
  )
  const asked = await millrace(['dlq', 'list', '--limit', '3', '--admin', service.adminUrl], { cwd })
  expect(asked.stdout).toBe(listed.stdout)
  const json = await millrace(['dlq', 'list', '--sink', 'http', '--json'], { cwd })
  expect(JSON.parse(json.stdout.split('\n')[0] ?? '')).toMatchObject({
    sink: 'http',
    attempts: 1,
    event: { specversion: '1.0' },
  })

  const again = await millrace(['dlq', 'replay', '--admin', service.adminUrl, '--sink', 'http'], { cwd })
  expect([again.code, again.stdout]).toEqual([1, 'http: 0 delivered, 7 are dead letters again\n'])
  status = 200
  const done = await millrace(['dlq', 'replay', '--admin', service.adminUrl], { cwd })
  expect([done.code, done.stdout]).toEqual([
    0,
    'file: 0 delivered, 0 are dead letters again\nhttp: 7 delivered, 0 are dead letters again\n',
  ])
  expect(new Set(received)).toEqual(new Set(['1', '2', '3', '4', '5', '6', '7']))
  expect(await pending()).toBe(0)
  expect((await millrace(['dlq', 'replay', '--admin', service.adminUrl, '--sink', 'kinesis'], { cwd })).stderr).toMatch(
    /no sink "kinesis" is running: use one of file, http/,
  )
  expect(await service.stop()).toBe(0)
}, 30_000)
