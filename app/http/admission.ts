/**
 * Bounds the memory of requests in progress: each body may be within the limit, yet many of them together could exceed
 * the memory. A request counts with its Content-Length, or with MAX_BODY_BYTES if it has none, from its first byte
 * until it is answered. A request that does not fit is refused before its body is read. So is a request that would wait
 * too long for the parser (body-scheduler.ts).
 *
 * Announcing a body costs a client nothing. So when there is no room, the oldest bodies that were announced but did not
 * arrive are cut off: a client that sends again then finds room.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { MillraceError } from '../errors.ts'
import type { BodyScheduler } from './body-scheduler.ts'
import { makeLast } from './close-in-stages.ts'
import { LinkedList } from './linked-list.ts'

/** A body that has not arrived after this time loses its room as soon as another request needs it. */
const STALLED_MS = 5000

interface InProgress {
  readonly reply: FastifyReply
  readonly bytes: number
  readonly startedAtMs: number
}

/**
 * @param maxBytes all bodies in progress together.
 * @param maxBodyBytes one body.
 */
export function boundRequestsInProgress(
  app: FastifyInstance,
  maxBytes: number,
  maxBodyBytes: number,
  scheduler: BodyScheduler,
): void {
  let totalBytes = 0
  const inProgress = new LinkedList<InProgress>()

  app.addHook('onRequest', ({ headers }, reply, done) => {
    const declared = Number(headers['content-length'] ?? maxBodyBytes)
    // A declared length over the limit is refused as such by the body parser, without being read.
    const bytes = Math.min(declared, maxBodyBytes)
    const startedAtMs = performance.now()
    const refusal = scheduler.refusal(bytes)
    if (refusal) return done(refusal)
    if (totalBytes + bytes > maxBytes) {
      cutOffStalled(inProgress, totalBytes + bytes - maxBytes, startedAtMs - STALLED_MS)
      return done(
        new MillraceError('OVERLOADED', `requests in progress hold ${totalBytes} bytes: send again in a moment`),
      )
    }
    totalBytes += bytes
    const entry = inProgress.add({ reply, bytes, startedAtMs })
    reply.raw.on('close', () => {
      totalBytes -= bytes
      inProgress.remove(entry)
    })
    done()
  })
}

/** @param inProgress oldest first. @param bytes to free, or as many as there are. */
function cutOffStalled(inProgress: Iterable<InProgress>, bytes: number, begunBeforeMs: number): void {
  let freed = 0
  for (const entry of inProgress) {
    if (freed >= bytes || entry.startedAtMs > begunBeforeMs) return
    const { reply, bytes: announced } = entry
    const { raw } = reply.request
    if (raw.complete || reply.sent) continue
    makeLast(reply)
    reply.send(new MillraceError('OVERLOADED', 'the body came too slowly while others waited: send it again'))
    // The listeners of the body parser hold the part of the body that was received.
    for (const event of ['data', 'end', 'error']) raw.removeAllListeners(event)
    freed += announced
  }
}
