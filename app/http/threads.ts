/**
 * The public listener on several threads (thread.ts), all on one port: the kernel gives each new connection to one of
 * them (SO_REUSEPORT). It replaces the server of the main thread and, like that server, sees only a Sender.
 *
 *     thread 1: HTTP, inflating, JSON, validation ─group─▶ ┐
 *     thread 2: …                                 ─group─▶ ├▶ Sender ═ channel ═▶ one group commit, one log
 *     thread n: …                                 ─group─▶ ┘
 *
 * There is one writer, so order per key holds whichever connections a client uses: an acknowledged event is in the log
 * before any event that the client sends later. Invariants:
 *
 * - A thread that ends too early ends the process: its error is thrown and not caught.
 * - Capacities are divided, so that n threads hold no more than one would.
 */
import { errorMonitor, once } from 'node:events'
import { createServer as createProbe } from 'node:net'
import type { EventLoopUtilization } from 'node:perf_hooks'
import { Worker } from 'node:worker_threads'
import { type Level, levels } from 'pino'
import type { Config } from '../config.ts'
import { MillraceError, systemCode } from '../errors.ts'
import { ThreadCounts } from '../observability/counts.ts'
import type { IngestCounts, ThreadsView } from '../observability/metrics.ts'
import { pack, unpack } from '../sent-error.ts'
import { type Lost, type OnSettled, Write } from '../write.ts'
import type { ServerOptions, SharedLimits } from './server.ts'
import { limitMemory } from './shared-limits.ts'
import type { FromThread, Outcome, SentGroup, ThreadStart, ToThread } from './thread-messages.ts'

/** How often threads are told whether the service is ready. */
const POST_READINESS_EVERY_MS = 100
/** How often the load of the threads is measured. */
const MEASURE_LOOPS_EVERY_MS = 1000

interface Thread {
  readonly worker: Worker
  readonly counts: ThreadCounts
  readonly listening: PromiseWithResolvers<string>
  /** Resolves when the thread has nothing left to do, or has ended. */
  readonly ended: PromiseWithResolvers<void>
  loop?: EventLoopUtilization
  /** Share of the last second that its event loop was busy (0–1). */
  loopUse: number
}

type ThreadsOptions = ServerOptions & { readonly counts: IngestCounts }

/** All writes of a group as one. The thread that sent it assigns the outcome to each request. */
export class GroupWrite extends Write {
  readonly #answer: (outcome: Outcome) => void

  constructor({ payload, count, known, keys, identities }: SentGroup, answer: (outcome: Outcome) => void) {
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    const onSettled: OnSettled = (error) => answer({ kind: 'settled', error: pack(error) })
    super(bytes, count, onSettled, { known, keys, identities })
    this.#answer = answer
  }

  override settle(lost: readonly Lost[]): void {
    const { duplicates } = this
    this.#answer({
      kind: 'settled',
      ...(lost.length > 0 && { lost: lost.map(({ index, error }) => ({ index, error: pack(error) })) }),
      ...(duplicates.length > 0 && { duplicates }),
    })
  }
}

export class HttpThreads implements ThreadsView {
  readonly #options: ThreadsOptions
  /** The configuration of each thread. */
  readonly #part: Config
  readonly #threads: readonly Thread[]
  readonly #timers: readonly NodeJS.Timeout[]
  #notReady: string | undefined
  #closing = false

  /** @param options.counts gives access to the counts of the threads. */
  constructor(options: ThreadsOptions) {
    this.#options = options
    this.#part = partOf(options.config)
    const limits = { requests: limitMemory(), events: limitMemory() }
    this.#threads = Array.from({ length: options.config.WORKERS }, () => this.#start(limits))
    options.credentials.onReplaced((credentials) => {
      for (const { worker } of this.#threads) postTo(worker, { kind: 'credentials', credentials })
    })
    const timers = [
      setInterval(() => this.#postReadiness(), POST_READINESS_EVERY_MS),
      setInterval(() => this.#measureLoops(), MEASURE_LOOPS_EVERY_MS),
    ]
    this.#timers = timers.map((timer) => timer.unref())
  }

  /** @throws MillraceError CONFIG_INVALID if threads cannot share a port; a system error if the port is refused. */
  async listen({ host, port }: { host: string; port: number }): Promise<string> {
    this.#postReadiness()
    // Without this probe, a second service with a shared port would start and take half of the connections.
    if (port !== 0) await probe(host, port)
    const [first, ...others] = this.#threads
    if (first === undefined) throw new RangeError('there must be a thread')
    const url = await listenIn(first, host, port)
    for (const thread of others) await listenIn(thread, host, Number(new URL(url).port || 80))
    return url
  }

  /** Answers the requests in progress, so group commit must still run. */
  async close(): Promise<void> {
    this.#closing = true
    for (const timer of this.#timers) clearInterval(timer)
    for (const { worker } of this.#threads) postTo(worker, { kind: 'close' })
    await Promise.all(this.#threads.map(({ ended }) => ended.promise))
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }

  get waitingEvents(): number {
    return this.#threads.reduce((sum, { counts }) => sum + counts.waitingEvents, 0)
  }

  get waitingBytes(): number {
    return this.#threads.reduce((sum, { counts }) => sum + counts.waitingBytes, 0)
  }

  get fill(): number {
    const { CHANNEL_CAPACITY_EVENTS: events, CHANNEL_CAPACITY_BYTES: bytes } = this.#part
    return Math.max(
      ...this.#threads.map(({ counts }) => Math.max(counts.waitingEvents / events, counts.waitingBytes / bytes)),
    )
  }

  get loopUse(): number {
    return Math.max(...this.#threads.map(({ loopUse }) => loopUse))
  }

  #start(limits: SharedLimits): Thread {
    const { keyed, deduplicates, filesOfSinks, version, logger, tracing, counts: total } = this.#options
    const credentials = this.#options.credentials.current
    const counts = new ThreadCounts()
    total.include(counts)
    const logLevel = logger.level
    const traced = tracing !== undefined
    const workerData: ThreadStart = {
      ...{ config: this.#part, keyed, deduplicates, filesOfSinks, version, logLevel, traced },
      ...{ counts: counts.memory, limits, credentials },
    }
    const worker = new Worker(new URL('./thread.ts', import.meta.url), { workerData })
    const ended = Promise.withResolvers<void>()
    const thread: Thread = { worker, counts, listening: Promise.withResolvers(), ended, loopUse: 0 }
    worker.on('message', (message: FromThread) => this.#onMessage(thread, message))
    let failed = false
    worker.once(errorMonitor, () => {
      failed = true // and thrown, because there is no listener
    })
    worker.once('exit', (code) => {
      ended.resolve()
      if (!failed && !this.#closing) throw new Error(`a thread of the public listener ended with exit code ${code}`)
    })
    return thread
  }

  #onMessage(thread: Thread, message: FromThread): void {
    switch (message.kind) {
      case 'group':
        void this.#send(thread, message)
        break
      case 'listening':
        thread.listening.resolve(message.url)
        break
      case 'refused':
        thread.listening.reject(unpack(message.error))
        break
      case 'logged':
        this.#log(message.line)
        break
      case 'closed':
        thread.ended.resolve()
    }
  }

  /** Waits for room. Keeps the order of a thread's groups, because the channel serves waiting senders in order. */
  async #send({ worker }: Thread, group: SentGroup): Promise<void> {
    const write = new GroupWrite(group, (outcome) => postTo(worker, outcome))
    try {
      await this.#options.sender.send(write)
    } catch (error) {
      write.fail(error)
    }
  }

  #log(line: string): void {
    const { level, time, msg, ...fields } = JSON.parse(line)
    this.#options.logger[levels.labels[level] as Level](fields, msg)
  }

  #postReadiness(): void {
    const notReady = this.#options.notReady()
    if (notReady === this.#notReady) return
    this.#notReady = notReady
    for (const { worker } of this.#threads) postTo(worker, { kind: 'ready', notReady })
  }

  #measureLoops(): void {
    for (const thread of this.#threads) {
      const { eventLoopUtilization } = thread.worker.performance
      const now = eventLoopUtilization()
      thread.loopUse = eventLoopUtilization(now, thread.loop).utilization
      thread.loop = now
    }
  }
}

/** The configuration of one of `WORKERS` threads, with its share of the capacities. */
function partOf(config: Config): Config {
  const part = (capacity: number) => Math.floor(capacity / config.WORKERS)
  return {
    ...config,
    CHANNEL_CAPACITY_EVENTS: part(config.CHANNEL_CAPACITY_EVENTS),
    CHANNEL_CAPACITY_BYTES: part(config.CHANNEL_CAPACITY_BYTES),
    IN_PROGRESS_MAX_BYTES: part(config.IN_PROGRESS_MAX_BYTES),
  }
}

function postTo(worker: Worker, message: ToThread): void {
  worker.postMessage(message)
}

async function listenIn({ worker, listening }: Thread, host: string, port: number): Promise<string> {
  postTo(worker, { kind: 'listen', host, port })
  try {
    return await listening.promise
  } catch (error) {
    if (systemCode(error) !== 'ENOTSUP') throw error
    throw new MillraceError(
      'CONFIG_INVALID',
      'WORKERS: threads cannot share a port on this system (SO_REUSEPORT, which Linux has): leave it at 1',
      { cause: error },
    )
  }
}

/** @throws the system error of listening on the port without sharing it. */
async function probe(host: string, port: number): Promise<void> {
  const server = createProbe().listen({ host, port, exclusive: true })
  await once(server, 'listening')
  server.close()
  await once(server, 'close')
}
