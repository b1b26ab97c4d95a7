/** What the steps of a write cost by themselves, one thread, for each event. */
import { join } from 'node:path'
import { Bench } from 'tinybench'
import { channel } from '../app/channel/channel.ts'
import { decode } from '../app/delivery/decode.ts'
import { scanner } from '../app/event/names.ts'
import { readBody } from '../app/http/body.ts'
import { Metrics } from '../app/observability/metrics.ts'
import { Known } from '../app/write.ts'
import type { Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { openLogAt } from './support/fill-log.ts'
import type { Payload } from './support/load.ts'
import { CLOUD_EVENTS, SMALL_EVENT, SMALL_EVENTS } from './support/payloads.ts'
import { progress } from './support/progress.ts'
import { inDirectory } from './support/server.ts'

const WANTED = { maxEvents: 10_000, keys: false, identities: false }
const CAPACITY = 1024
const TASK_MS = 500
const NANOSECONDS_IN_MS = 1e6

interface Task {
  readonly events: number
  run(): unknown
}

const bytes = ({ body }: Payload) => Buffer.from(body)
const lines = ({ body }: Payload) => Buffer.from(body.trimEnd())

function parsing(payload: Payload): Task {
  const body = bytes(payload)
  const headers = { headers: { 'content-type': payload.contentType }, headersDistinct: {} }
  return { events: payload.events, run: () => readBody(body, headers, WANTED) }
}

function scanning(payload: Payload): Task {
  const body = bytes(payload)
  return { events: payload.events, run: () => scanner.scan(body, 'lines', () => undefined) }
}

function decoding(payload: Payload, known: Known): Task {
  const group = {
    logId: 'bench',
    partition: 0,
    baseOffset: 0,
    count: payload.events,
    appendedAtMs: 0,
    known,
    payload: bytes(payload),
  }
  return { events: payload.events, run: () => decode(group) }
}

async function measure(smoke: boolean, directory: string) {
  const log = await openLogAt(join(directory, 'log'))
  const appending = (payload: Payload, batches: number): Task => {
    const group = new Array(batches).fill({ payload: lines(payload), count: payload.events })
    return { events: payload.events * batches, run: () => log.append(group) }
  }
  const { sender, receiver } = channel<object>(CAPACITY)
  const item = {}
  const out: object[] = []
  const metrics = new Metrics(undefined, 'bench', 'all')
  const tasks: Readonly<Record<string, Task>> = {
    'channel: trySend, recvMany': {
      events: CAPACITY,
      run: () => {
        while (sender.trySend(item) === 'sent') {}
        out.length = 0
        return receiver.recvMany(out, CAPACITY)
      },
    },
    'parse and check a body: one event': parsing(SMALL_EVENT),
    'parse and check a body: 100 small events': parsing(SMALL_EVENTS),
    'parse and check a body: 100 CloudEvents': parsing(CLOUD_EVENTS),
    'of it, scan: small event': scanning(SMALL_EVENTS),
    'of it, scan: CloudEvent': scanning(CLOUD_EVENTS),
    'append and sync: one event': appending(SMALL_EVENT, 1),
    'append and sync: a group of 256 events': appending(SMALL_EVENT, 256),
    'append and sync: a group of 6,400 events': appending(SMALL_EVENTS, 64),
    'decode for a sink: small event': decoding(SMALL_EVENTS, Known.EVENTS),
    'decode for a sink: CloudEvent': decoding(CLOUD_EVENTS, Known.COMPLETE),
    'decode for a sink: CloudEvent, not known to be one': decoding(CLOUD_EVENTS, Known.NOTHING),
    'metrics: count and observe a request': {
      events: 1,
      run: () => {
        metrics.ingest.received(1)
        metrics.ingest.writeDuration.observe(0.004)
      },
    },
  }
  const bench = new Bench({ time: smoke ? 5 : TASK_MS, warmupTime: smoke ? 1 : TASK_MS / 2, retainSamples: true })
  for (const [name, { run }] of Object.entries(tasks)) bench.add(name, run)
  try {
    bench.addEventListener('cycle', ({ task }) => progress(task?.name ?? ''))
    await bench.run()
  } finally {
    metrics.close()
    await log.close()
  }
  return { bench, tasks }
}

export const micro: Question = {
  name: 'micro',
  title: 'What the steps cost',
  how: `Each step alone, in one thread (tinybench, ${TASK_MS} ms each after a warm-up). The figure is the median by event. The
spread is from the fastest tenth to the slowest tenth of the calls. A sync is a real one. Its cost by event is small in a
group, because the whole group shares it.`,
  targets: [],
  plots: [],
  async run({ smoke }) {
    const { bench, tasks } = await inDirectory((directory) => measure(smoke, directory))
    const collected = new Collected()
    for (const { name, result } of bench.tasks) {
      const events = tasks[name]?.events ?? 1
      if (!('latency' in result)) throw new Error(`${name}: ${result.state}`)
      const samples = result.latency.samples ?? []
      for (const share of [0.1, 0.5, 0.9]) {
        const ms = samples[Math.floor(share * (samples.length - 1))] ?? Number.NaN
        collected.add(name, { nanoseconds: (ms * NANOSECONDS_IN_MS) / events })
      }
    }
    return { series: collected.series }
  },
}
