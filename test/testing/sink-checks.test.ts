/**
 * The suite that users run on their sinks: Millrace's own pass it, each with a real other side, and it finds what is wrong with
 * sinks that break the contract. PostgreSQL: test/sinks/real/conformance.test.ts.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import type { Event, Failure, Sink } from 'millrace'
import { batchOf, contextOf, type SinkUnderTest, sinkChecks } from 'millrace/testing'
import { describe, expect, test } from 'vitest'
import { FileSink } from '../../app/sinks/file.ts'
import { HttpSink } from '../../app/sinks/http.ts'
import { S3Sink } from '../../app/sinks/s3/s3-sink.ts'
import { StdoutSink } from '../../app/sinks/stdout.ts'
import { SINK_NAMES } from '../../app/sinks/variables.ts'
import { startStore } from '../support/s3-store.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const eventsIn = (text: string): Event[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))

const file: SinkUnderTest = {
  open: async () => {
    const directory = join(temporaryDirectory(), 'out')
    const { onWarning, onFailure } = contextOf('file')
    const open = () => FileSink.open({ directory, rollBytes: 1e6, rollMs: 1e6, onWarning, onFailure })
    return {
      sink: await open(),
      reopen: open,
      delivered: async () => {
        const inOrder = readdirSync(directory).sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
        const names = [...inOrder.filter((name) => name !== 'current.ndjson'), 'current.ndjson']
        return names
          .filter((name) => inOrder.includes(name))
          .flatMap((name) => eventsIn(readFileSync(join(directory, name), 'utf8')))
      },
      setAway: (isAway) => {
        rmSync(directory, { recursive: true })
        if (isAway) writeFileSync(directory, 'in its place')
        else mkdirSync(directory)
      },
    }
  },
}

const stdout: SinkUnderTest = {
  open: async () => {
    let [text, hangs] = ['', false]
    const stream = new Writable({
      write: (chunk, _encoding, done) => {
        if (hangs) return
        text += String(chunk)
        done()
      },
    })
    return {
      sink: new StdoutSink(stream),
      reopen: async () => new StdoutSink(stream),
      delivered: async () => eventsIn(text),
      hang: () => {
        hangs = true
      },
    }
  },
}

/** @returns what a receiver of webhooks is told to do, and what it took. */
async function startReceiver() {
  const taken: Event[] = []
  const receiver = { taken, url: '', refusedIds: [] as readonly string[], state: 'there' as 'there' | 'away' | 'hangs' }
  const server = createServer(async (request, response) => {
    if (receiver.state === 'hangs') return
    if (receiver.state === 'away') return void request.destroy()
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const event: Event = JSON.parse(body)
    const isRefused = receiver.refusedIds.includes(event.id)
    if (!isRefused) taken.push(event)
    response.writeHead(isRefused ? 422 : 204).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const dispose = () => {
    server.closeAllConnections()
    server.close()
  }
  return { receiver, dispose }
}

const http: SinkUnderTest = {
  open: async () => {
    const { receiver, dispose } = await startReceiver()
    const open = async () => new HttpSink({ url: receiver.url, secret: '', timeoutMs: 60_000, concurrency: 4 })
    return {
      dispose,
      sink: await open(),
      reopen: open,
      delivered: async () => receiver.taken,
      refuse: (ids) => {
        receiver.refusedIds = ids
      },
      setAway: (isAway) => {
        receiver.state = isAway ? 'away' : 'there'
      },
      hang: () => {
        receiver.state = 'hangs'
      },
    }
  },
}

const s3: SinkUnderTest = {
  isIdempotent: true,
  open: async () => {
    process.env.AWS_ACCESS_KEY_ID ??= 'local'
    process.env.AWS_SECRET_ACCESS_KEY ??= 'local'
    const store = await startStore()
    const place = {
      bucket: 'bucket',
      region: 'eu-central-1',
      endpoint: store.endpoint,
      kmsKeyId: '',
      prefix: 'events/',
    }
    const limits = { timeoutMs: 5000, rollBytes: 1e6, rollEvents: 1e6, rollMs: 50 }
    const open = async () => new S3Sink({ ...contextOf('s3'), ...place, ...limits, compression: 'gzip' })
    const offsetOf = (key: string) => Number(/-(\d+)-\d+\.ndjson/.exec(key)?.[1])
    return {
      sink: await open(),
      reopen: open,
      delivered: async () => {
        const objects = [...store.objects].filter(([key]) => key.endsWith('.gz'))
        const inOrder = objects.sort(([a], [b]) => offsetOf(a) - offsetOf(b))
        return inOrder.flatMap(([, bytes]) => eventsIn(gunzipSync(bytes).toString()))
      },
      setAway: (isAway) => {
        store.refuse = () => (isAway ? [503, 'SlowDown'] : undefined)
      },
    }
  },
}

const SINKS = { file, stdout, http, s3 }

test('each sink of Millrace runs the suite', () => {
  expect([...Object.keys(SINKS), 'postgres'].sort()).toEqual([...SINK_NAMES].sort())
})

describe.each(Object.entries(SINKS))('the %s sink', (_, subject) => {
  for (const { name, run } of sinkChecks(subject)) test(name, run, 60_000)
})

/** As short as a sink can be: what is there, and what its place does. */
class MemorySink implements Sink {
  readonly concurrency: number = 2
  readonly maxBatchEvents: number = 10
  readonly place: { readonly events: Event[]; isAway: boolean; hangs: boolean; refusedIds: readonly string[] }

  constructor(place: MemorySink['place']) {
    this.place = place
  }

  async write({ items }: Parameters<Sink['write']>[0], signal: AbortSignal): Promise<readonly Failure[]> {
    if (this.place.isAway) throw new Error('the place is away')
    if (this.place.hangs) await new Promise((_, reject) => signal.addEventListener('abort', reject))
    const failures: Failure[] = []
    for (const [index, { event }] of items.entries()) {
      if (this.place.refusedIds.includes(event.id)) failures.push({ index, reason: 'refused', retryable: false })
      else this.place.events.push(event)
    }
    return failures
  }

  async close(): Promise<void> {}
}

function memory(Variant: new (place: MemorySink['place']) => Sink): SinkUnderTest {
  return {
    withinMs: 200,
    open: async () => {
      const place: MemorySink['place'] = { events: [], isAway: false, hangs: false, refusedIds: [] }
      return {
        sink: new Variant(place),
        reopen: async () => new Variant(place),
        delivered: async () => place.events,
        refuse: (ids) => {
          place.refusedIds = ids
        },
        setAway: (isAway) => {
          place.isAway = isAway
        },
        hang: () => {
          place.hangs = true
        },
      }
    },
  }
}

describe('a sink of a user', () => {
  for (const { name, run } of sinkChecks(memory(MemorySink))) test(name, run)
})

type Write = MemorySink['write']
type Written = Parameters<Write>

/** Sinks that break the contract in one way, and the check that has to find it. */
const BROKEN: readonly (readonly [string, new (place: MemorySink['place']) => Sink, RegExp, RegExp])[] = [
  [
    'has no lanes',
    class extends MemorySink {
      override concurrency = 0
    },
    /says how many lanes/,
    /concurrency is 0/,
  ],
  [
    'loses extensions',
    class extends MemorySink {
      override async write(...[{ items }]: Written) {
        for (const { event } of items) {
          const { tenant: _, ...rest } = event
          this.place.events.push(rest as Event)
        }
        return []
      }
    },
    /delivers everything that is in an event/,
    /event hard-8 is not what was written/,
  ],
  [
    'leaves out the last event of a full batch',
    class extends MemorySink {
      override async write(...[{ items }]: Written) {
        this.place.events.push(...items.slice(0, this.maxBatchEvents - 1).map(({ event }) => event))
        return []
      }
    },
    /takes batches as large as it says/,
    /not there/,
  ],
  [
    'turns a batch round',
    class extends MemorySink {
      override async write(...[{ items }]: Written) {
        this.place.events.push(...items.map(({ event }) => event).reverse())
        return []
      }
    },
    /keeps the order of a key/,
    /out of order/,
  ],
  [
    'confirms before it has delivered',
    class extends MemorySink {
      override async write(...[{ items }]: Written) {
        const events = items.map(({ event }) => event)
        setTimeout(() => this.place.events.push(...events), 100)
        return []
      }
    },
    /confirms nothing that is not there/,
    /not there/,
  ],
  [
    'writes what it is given a second time',
    MemorySink,
    /takes events again that it had/,
    /written twice are there twice/,
  ],
  [
    'says nothing of an event that was refused',
    class extends MemorySink {
      override async write(...args: Written) {
        await super.write(...args)
        return []
      }
    },
    /names the events that are refused/,
    /named as refused are not those/,
  ],
  [
    'gives no reason',
    class extends MemorySink {
      override async write(...args: Written) {
        return (await super.write(...args)).map((failure) => ({ ...failure, reason: '' }))
      }
    },
    /names the events that are refused/,
    /has no reason/,
  ],
  [
    'names an event that is not in the batch',
    class extends MemorySink {
      override async write(...args: Written) {
        return (await super.write(...args)).map((failure) => ({ ...failure, index: failure.index + 10 }))
      }
    },
    /names the events that are refused/,
    /index 10 in a batch of 5/,
  ],
  [
    'gives events up while its place is away',
    class extends MemorySink {
      override async write(...args: Written) {
        if (!this.place.isAway) return super.write(...args)
        return args[0].items.map((_, index) => ({ index, reason: 'away', retryable: false }))
      }
    },
    /gives no event up while its place is away/,
    /given up because their place is away/,
  ],
  [
    'counts events as delivered while its place is away',
    class extends MemorySink {
      override async write(...args: Written) {
        return this.place.isAway ? [] : super.write(...args)
      }
    },
    /gives no event up while its place is away/,
    /count as delivered while their place is away/,
  ],
  [
    'does not look at its signal',
    class extends MemorySink {
      override async write(...args: Written) {
        return this.place.hangs ? new Promise<never>(() => undefined) : super.write(...args)
      }
    },
    /ends a write when its signal is aborted/,
    /write goes on after its signal was aborted within 200 ms/,
  ],
  [
    'does not end when it is closed',
    class extends MemorySink {
      override close() {
        return new Promise<never>(() => undefined)
      }
    },
    /closes without having written anything/,
    /close does not end within 200 ms/,
  ],
]

describe('the suite finds a sink that', () => {
  test.each(BROKEN)('%s', async (_, Variant, name, problem) => {
    const check = sinkChecks({ ...memory(Variant), isIdempotent: true }).find((one) => name.test(one.name))
    await expect(check?.run()).rejects.toThrow(problem)
  })
})

test('batchOf makes what delivery hands over: complete events, with their offsets', () => {
  const batch = batchOf([{ data: 1 }, { id: 7, type: 't', subject: 's', data: 'x' }], 40)
  expect([batch.length, batch.firstOffset]).toEqual([2, 40])
  expect(batch.items.map(({ offset, key }) => [offset, key])).toEqual([
    [40, 'millrace'],
    [41, 's'],
  ])
  expect(batch.items[1]?.event).toMatchObject({ specversion: '1.0', id: '7', source: 'millrace', type: 't', data: 'x' })
  expect(Buffer.concat(batch.lines).toString().split('\n')).toHaveLength(3)
  expect(() => batchOf([{ data: 1 }, { type: 't' }])).toThrow(
    /^the event with index 1 would be refused: data is missing/,
  )
})

test('the suite runs in node:test as well, without any part of vitest', () => {
  const program = `
    import test from 'node:test'
    import { sinkChecks } from 'millrace/testing'
    const events = []
    const write = async ({ items }) => void events.push(...items.map(({ event }) => event))
    const sink = { concurrency: 1, maxBatchEvents: 10, write, close: async () => {} }
    const open = async () => ({ sink, delivered: async () => events.splice(0) })
    for (const { name, run } of sinkChecks({ open })) test(name, run)
  `
  const { VITEST: _, ...environment } = process.env
  const output = execFileSync(process.execPath, ['--test-reporter=tap', '--input-type=module', '-e', program], {
    cwd: join(import.meta.dirname, '../..'),
    encoding: 'utf8',
    env: environment,
  })
  expect(output).toMatch(/^# pass 12$/m)
  expect(output).toMatch(/^# fail 0$/m)
})
