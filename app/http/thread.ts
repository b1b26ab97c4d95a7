/**
 * A thread of the public listener; threads.ts is the other side. It runs the server and its own channel, and sends
 * groups from that channel to the main thread. Only the main thread writes to the log.
 *
 *     HTTP ─▶ Sender ═ channel ═▶ Receiver ─▶ group ─message─▶ main thread: Sender ═ channel ═▶ group commit
 *       ▲                                       │
 *       └─ 202, each write is settled here ◀────┴◀─message─ outcome of the group
 *
 * Invariants:
 *
 * - At most MAX_ON_THE_WAY groups are between the two threads. Further writes wait in the channel, which is bounded.
 * - Groups are answered in the order in which they were sent, so an answer needs no number.
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

/** One group that is being committed, and one that is ready when that commit ends. */
const MAX_ON_THE_WAY = 2
/** How often the thread publishes the fill of its channel while it sends no group. */
const PUBLISH_FILL_EVERY_MS = 500
const NEWLINE = 0x0a

const start = workerData as ThreadStart
const { config, keyed, deduplicates, version } = start
const counts = new ThreadCounts(start.counts)
/**
 * Half of it plus the largest body, with newlines, fits into the channel of the main thread, which holds at least two
 * of these.
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
    // Fastify passes `reusePort` on to Node, although its type does not name it.
    const options: FastifyListenOptions & { readonly reusePort: true } = { host, port, reusePort: true }
    post({ kind: 'listening', url: await server.listen(options) })
  } catch (error) {
    post({ kind: 'refused', error: pack(error) })
  }
}

/** Answers the requests in progress, so the main thread must still commit groups. */
async function close(): Promise<void> {
  draining = true
  await server.close()
  sender.close()
  await sending
  await tracing?.stop()
  post({ kind: 'closed' })
}

/** Runs until the channel is closed and drained, and every group is answered. */
async function sendGroups(): Promise<void> {
  for (;;) {
    while (onTheWay.length >= MAX_ON_THE_WAY) await untilAnswered()
    const first = await receiver.recv()
    if (first === undefined) break
    const group = [first]
    const room = MAX_GROUP_BYTES - first.payload.length
    if (room > MAX_GROUP_BYTES / 2) {
      // A message costs as much as a small request. Wait one turn, so that writes which arrive now join the group.
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

/** Copies the lines of all writes into one buffer that can be moved to another thread. */
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
