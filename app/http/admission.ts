/**
 * Bounds the memory of requests in progress: many clients that each send a body within the limit could together send
 * more than there is. A request counts with its Content-Length, or with the largest body when it does not say, from its
 * first byte until it is answered; what does not fit is refused before its body is read. So is what would wait for too
 * long (turns.ts).
 */
import type { FastifyInstance } from 'fastify'
import { MillraceError } from '../errors.ts'
import type { Turns } from './turns.ts'

/**
 * @param maxBytes all bodies in progress together.
 * @param maxBodyBytes one body.
 */
export function boundRequestsInProgress(
  app: FastifyInstance,
  maxBytes: number,
  maxBodyBytes: number,
  turns: Turns,
): void {
  let inProgressBytes = 0
  app.addHook('onRequest', (request, reply, done) => {
    const declared = Number(request.headers['content-length'] ?? maxBodyBytes)
    // A declared length over the limit is refused as such by the body parser, without being read.
    const bytes = Math.min(declared, maxBodyBytes)
    try {
      turns.require(bytes)
      if (inProgressBytes + bytes > maxBytes) {
        const message = `requests in progress hold ${inProgressBytes} bytes: send again in a moment`
        throw new MillraceError('OVERLOADED', message)
      }
    } catch (error) {
      return done(error as MillraceError)
    }
    inProgressBytes += bytes
    reply.raw.once('close', () => {
      inProgressBytes -= bytes
    })
    done()
  })
}
