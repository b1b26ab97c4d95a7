/** POST /v1/events: one body in, one write over the channel, one answer once it is durable. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Sender } from '../channel/channel.ts'
import { MillraceError } from '../errors.ts'
import type { Counts } from '../observability/counts.ts'
import { reasonOf } from '../observability/metrics-contract.ts'
import { type Lost, NOTHING_LOST, type OnSettled, Write } from '../write.ts'
import { readBody } from './body.ts'
import type { BodyScheduler } from './body-scheduler.ts'
import type { Body, Wanted } from './checked-events.ts'
import { restrictionsOf } from './identity.ts'
import { inflate } from './inflate.ts'
import { Refusal, type Rejected } from './problem.ts'
import type { EventQuota } from './quota.ts'
import { type Principal, type Stamps, senderOf, stamped } from './stamps.ts'
import { withTraceparent } from './trace.ts'
import { keepBodiesAsBytes } from './whole-body.ts'

const NO_BYTES = Buffer.alloc(0)
const ANSWER_TYPE = 'application/json; charset=utf-8'
/** Binary mode makes data longer in JSON: base64 writes four bytes for three, an escaped control character six. */
const MAX_GROWTH = 2

export interface EventsOptions {
  readonly sender: Sender<Write>
  readonly counts: Counts
  readonly quota: EventQuota | undefined
  /** The quota of a public key, which has its own rate. */
  readonly publicQuota: (eventsPerSecond: number) => EventQuota
  readonly scheduler: BodyScheduler
  readonly ack: 'durable' | 'memory'
  readonly maxBodyBytes: number
  /** Capacity of the log. */
  readonly maxLogBytes: number
  readonly maxRequestEvents: number
  /** Whether the log spreads events by key. */
  readonly keyed: boolean
  /** Whether duplicates are discarded. */
  readonly deduplicates: boolean
  /** What each event says of who sent it. Undefined: nothing. */
  readonly stamps: Stamps | undefined
  readonly isDraining: () => boolean
  /** The trace context of a request, for its events. */
  readonly traceparentOf: (request: FastifyRequest) => string | undefined
}

export function eventsRoute(app: FastifyInstance, options: EventsOptions): void {
  keepBodiesAsBytes(app, options.maxBodyBytes)
  app.post<{ Body: Buffer | undefined }>(
    '/v1/events',
    // Not async, and no promise in it: a request is answered by the group commit that made it durable.
    (request, reply) => receive(request, reply, options, readRequest),
  )
}

/** Reads events from a complete, inflated body. @throws MillraceError when the body is refused. */
type Read = (received: Received, wanted: Wanted) => Body

const readRequest: Read = ({ body, request }, wanted) => readBody(body, request.raw, wanted)

/** Accepts the events of a request and answers 202 once they are durable. @throws MillraceError SHUTTING_DOWN. */
export function receive(
  request: FastifyRequest<{ Body: Buffer | undefined }>,
  reply: FastifyReply,
  options: EventsOptions,
  read: Read,
): void {
  const { scheduler, maxBodyBytes, isDraining } = options
  if (isDraining()) throw shuttingDown()
  const encoding = request.headers['content-encoding']
  const bytes = request.body ?? NO_BYTES
  const schedule = (body: Buffer) => {
    const startedAtMs = performance.now()
    return scheduler.run(body.length, () => accept({ body, request, reply, startedAtMs }, options, read))
  }
  if (encoding !== undefined) {
    inflate(encoding, bytes, maxBodyBytes)
      .then(schedule)
      .catch((error) => reply.send(error))
  } else schedule(bytes)?.catch((error) => reply.send(error))
}

/** A request with its complete, inflated body. */
interface Received {
  readonly body: Buffer
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly startedAtMs: number
}

/** @throws MillraceError when the request is refused at once. */
function accept(received: Received, options: EventsOptions, readEvents: Read): void {
  const { request, reply } = received
  const { counts, ack } = options
  const quota = quotaOf(request, options)
  const read = countInvalid(counts, () => readEvents(received, wantedBy(request, options)))
  const { count, rejected } = read
  if (count === 0) {
    reply.code(202).type(ANSWER_TYPE).send('{"accepted":0}')
    return
  }
  const payload = payloadOf(read, request, options)
  counts.received(count)

  const onSettled: OnSettled = (error, lost) => {
    countSettled(write, error, lost, request, options)
    if (ack === 'durable') {
      if (error === undefined) answer(received, write, lost, rejected, options)
      else reply.send(error)
    } else if (error !== undefined) {
      request.log.error({ err: error, count, reqId: request.id }, 'acknowledged events were lost')
    }
  }
  const { known, keys, identities } = read
  const write = new Write(payload, count, onSettled, { known, keys, identities })
  try {
    quota?.take(request.client, count)
    send(write, request, options)
  } catch (error) {
    counts.reject(reasonOf(error), count)
    throw error
  }
  counts.inFlight += count
  if (ack === 'memory') answer(received, write, NOTHING_LOST, rejected, options)
}

function wantedBy({ grant }: FastifyRequest, options: EventsOptions): Wanted {
  const { keyed: keys, deduplicates: identities, maxRequestEvents: maxEvents, stamps } = options
  const takesText = grant?.publicKey !== undefined
  return { maxEvents, keys, identities, restrictions: restrictionsOf(grant, stamps), takesText }
}

/** The events as they are stored, with their client and trace context. @throws MillraceError BODY_TOO_LARGE. */
function payloadOf(read: Body, request: FastifyRequest, options: EventsOptions): Buffer {
  const { maxBodyBytes, maxLogBytes, traceparentOf, stamps } = options
  const maxStoredBytes = Math.min(MAX_GROWTH * maxBodyBytes, maxLogBytes)
  const payload = stamps ? stamped(read.payload, senderOf(stamps, request, principalOf(request))) : read.payload
  if (payload.length > maxStoredBytes) throw tooLarge(payload.length, maxStoredBytes)
  const trace = traceparentOf(request)
  return trace === undefined ? payload : withTraceparent(payload, trace, maxBodyBytes)
}

function quotaOf({ grant }: FastifyRequest, { quota, publicQuota }: EventsOptions): EventQuota | undefined {
  const eventsPerSecond = grant?.publicKey?.eventsPerSecond
  return eventsPerSecond === undefined ? quota : publicQuota(eventsPerSecond)
}

function principalOf({ grant, client }: FastifyRequest): Principal {
  return grant?.principal ?? { authtype: 'api_key', authid: client }
}

/** @throws MillraceError when the channel refuses the write; the client then gets its quota back. */
function send(write: Write, request: FastifyRequest, options: EventsOptions): void {
  const { sender } = options
  try {
    const outcome = sender.trySend(write)
    if (outcome === 'closed') throw shuttingDown()
    if (outcome === 'full') throw channelFull()
  } catch (error) {
    quotaOf(request, options)?.giveBack(request.client, write.count)
    throw error
  }
}

/** Events that were not stored do not count against the quota. */
function countSettled(
  { count, duplicates }: Write,
  error: unknown,
  lost: readonly Lost[],
  request: FastifyRequest,
  options: EventsOptions,
): void {
  const { counts } = options
  counts.inFlight -= count
  if (error !== undefined || lost.length > 0) {
    quotaOf(request, options)?.giveBack(request.client, error ? count : lost.length)
  }
  for (const { error } of lost) counts.reject(reasonOf(error), 1)
  if (error !== undefined) counts.reject(reasonOf(error), count)
  else if (duplicates.length > 0) counts.reject('duplicate', duplicates.length)
}

function answer(
  { reply, startedAtMs }: Received,
  { count, duplicates }: Write,
  lost: readonly Lost[],
  invalid: Rejected,
  { counts, ack }: EventsOptions,
): void {
  counts.writeDuration.observe((performance.now() - startedAtMs) / 1000)
  const rejected = lost.length === 0 ? invalid : withLost(invalid, lost, count)
  const isPlain = rejected.length === 0 && duplicates.length === 0 && ack === 'durable'
  const text = isPlain
    ? `{"accepted":${count}}`
    : JSON.stringify({
        accepted: count - lost.length,
        ...(ack === 'memory' ? { ack } : duplicates.length > 0 && { duplicates: duplicates.length }),
        ...(rejected.length > 0 && { rejected }),
      })
  reply.code(202).type(ANSWER_TYPE).send(text)
}

/** Adds the events that a partition of the log did not store, by their index in the request. */
function withLost(rejected: Rejected, lost: readonly Lost[], count: number): Rejected {
  const invalid = new Set(rejected.map(({ index }) => index))
  const accepted = Array.from({ length: count + invalid.size }, (_, index) => index).filter(
    (index) => !invalid.has(index),
  )
  const refused = lost.flatMap(({ index, error }) => {
    const place = accepted[index]
    return place === undefined
      ? []
      : [{ index: place, reason: error.message, ...(error.retryable && { retryable: true as const }) }]
  })
  return [...rejected, ...refused].sort((a, b) => a.index - b.index)
}

/** Counts invalid events, whether the request as a whole is accepted or refused. */
function countInvalid(counts: Counts, read: () => Body): Body {
  const count = (rejected: Rejected) => {
    counts.received(rejected.length)
    counts.reject('invalid', rejected.length)
  }
  try {
    const body = read()
    if (body.rejected.length > 0) count(body.rejected)
    return body
  } catch (error) {
    if (error instanceof Refusal) count(error.rejected)
    throw error
  }
}

function tooLarge(bytes: number, limit: number): MillraceError {
  const message = `as they are stored, the events have ${bytes} bytes, the limit is ${limit}: send fewer at a time`
  return new MillraceError('BODY_TOO_LARGE', message)
}

function shuttingDown(): MillraceError {
  return new MillraceError('SHUTTING_DOWN', 'shutting down: send it to another instance')
}

function channelFull(): MillraceError {
  return new MillraceError('CHANNEL_FULL', 'more is arriving than the disk takes: send again in a moment')
}
