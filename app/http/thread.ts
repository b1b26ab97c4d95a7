/**
 * A thread of the public listener; threads.ts is its other side. The server, a channel of its own, and what takes the
 * groups from there to the main thread, which alone writes to the log.
 *
 *     HTTP ─▶ Sender ═ channel ═▶ Receiver ─▶ group ─message─▶ main thread: Sender ═ channel ═▶ group commit
 *       ▲                                       │
 *       └─ 202, each write is settled here ◀────┴◀─message─ what became of the group
 *
 * Invariants:
 *  - at most MAX_ON_THE_WAY groups are between the two; what comes meanwhile waits in the channel, which is bounded;
 *  - groups are answered in the order they were sent in, so that an answer needs no number.
 */
import { setImmediate as immediate } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import type { FastifyListenOptions } from 'fastify'
import { pino } from 'pino'
import { channel } from '../channel/channel.ts'
import { ThreadCounts } from '../observability/counts.ts'
import { startTracing } from '../observability/tracing.ts'
import { pack } from '../sent-error.ts'
import { knownOfAll, type Write } from '../write.ts'
import { Credentials } from './credentials.ts'
import { createServer } from './server.ts'
import { type FromThread, settleGroup, type ThreadStart, type ToThread } from './thread-messages.ts'

/** One that is being committed, and one that is there once it is. */
const MAX_ON_THE_WAY = 2
/** How often it publishes how full the channel is while no group leaves. */
const PUBLISH_FILL_EVERY_MS = 500
const NEWLINE = 0x0a

const start = workerData as ThreadStart
const { config, keyed, deduplicates, version } = start
const counts = new ThreadCounts(start.counts)
/**
 * Half of that and the largest body, newlines and all, are no more than the channel of the main thread holds, which is
 * at least two of these.
 */
const MAX_GROUP_BYTES = Math.min(config.GROUP_MAX_BYTES, config.CHANNEL_CAPACITY_BYTES)
const { sender, receiver } = channel<Write>(config.CHANNEL_CAPACITY_EVENTS, {
  slots: (write) => write.count,
  bytes: (write) => write.payload.length,
  maxBytes: config.CHANNEL_CAPACITY_BYTES,
})
let notReady: string | undefined
let draining = false

const credentials = new Credentials(start.credentials)
const tracing = start.traced ? await startTracing(process.env, version) : undefined
const server = await createServer({
  config,
  logger: pino({ level: start.logLevel, base: null }, { write: (line: string) => post({ kind: 'logged', line }) }),
  sender,
  credentials,
  keyed,
  deduplicates,
  counts,
  filesOfSinks: start.filesOfSinks,
  hooks: start.hooks,
  version,
  notReady: () => notReady,
  isDraining: () => draining,
  tracing,
  limits: start.limits,
})
/** Oldest first. */
const onTheWay: Write[][] = []
let answered = Promise.withResolvers<void>()
const sending = sendGroups()
setInterval(publishFill, PUBLISH_FILL_EVERY_MS).unref()

parentPort?.on('message', (message: ToThread) => {
  switch (message.kind) {
    case 'settled':
      settleGroup(onTheWay.shift() ?? [], message)
      answered.resolve()
      break
    case 'ready':
      notReady = message.notReady
      break
    case 'credentials':
      credentials.replace(message.credentials)
      break
    case 'listen':
      void listen(message.host, message.port)
      break
    case 'close':
      void close()
  }
})

function post(message: FromThread, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer)
}

function publishFill(): void {
  counts.wait(receiver.slots, receiver.bytes)
}

async function listen(host: string, port: number): Promise<void> {
  try {
    // Fastify hands on what its type does not name.
    const options: FastifyListenOptions & { readonly reusePort: true } = { host, port, reusePort: true }
    post({ kind: 'listening', url: await server.listen(options) })
  } catch (error) {
    post({ kind: 'refused', error: pack(error) })
  }
}

/** Requests in hand are answered, so the main thread must still be committing. */
async function close(): Promise<void> {
  draining = true
  await server.close()
  sender.close()
  await sending
  await tracing?.stop()
  post({ kind: 'closed' })
}

/** Until the channel is closed and drained, and everything is answered. */
async function sendGroups(): Promise<void> {
  for (;;) {
    while (onTheWay.length >= MAX_ON_THE_WAY) await untilAnswered()
    const first = await receiver.recv()
    if (first === undefined) break
    const group = [first]
    const room = MAX_GROUP_BYTES - first.payload.length
    if (room > MAX_GROUP_BYTES / 2) {
      // A message costs as much as a small request: what else arrives in this turn of the event loop goes with it.
      await immediate()
      receiver.tryRecvMany(group, Number.POSITIVE_INFINITY, { maxBytes: room })
    }
    publishFill()
    onTheWay.push(group)
    const payload = joined(group)
    const count = group.reduce((sum, write) => sum + write.count, 0)
    const keys = keyed ? group.flatMap((write) => write.keys ?? []) : undefined
    const identities = deduplicates ? group.flatMap((write) => write.identities ?? []) : undefined
    const known = knownOfAll(group)
    post({ kind: 'group', payload, count, known, keys, identities }, [payload.buffer])
  }
  while (onTheWay.length > 0) await untilAnswered()
}

async function untilAnswered(): Promise<void> {
  await answered.promise
  answered = Promise.withResolvers()
}

/** Their lines in memory of their own, which can be moved. */
function joined(group: readonly Write[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(group.reduce((sum, { payload }) => sum + payload.length + 1, -1)))
  let at = 0
  for (const { payload } of group) {
    bytes.set(payload, at)
    at += payload.length
    if (at < bytes.length) bytes[at++] = NEWLINE
  }
  return bytes
}
