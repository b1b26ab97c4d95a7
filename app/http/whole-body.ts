/**
 * Collects a body as the bytes that were received. A body that came in one piece, as nearly all do, is that piece:
 * Fastify's own collector copies every body again, and this memory, outside of the heap, is what full collections are
 * for. Node gives each piece memory of its own (`Buffer::Copy` in node_http_parser.cc), so nobody else writes into it.
 */
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify'

const { FST_ERR_CTP_BODY_TOO_LARGE } = errorCodes

type Done = (error: Error | null, body?: Buffer) => void

/** Every type, known or not, is judged by the route, with the headers at hand. */
export function keepBodiesAsBytes(app: FastifyInstance, maxBytes: number): void {
  app.removeAllContentTypeParsers()
  const collect = (request: FastifyRequest, _payload: unknown, done: Done) => collectBody(request, maxBytes, done)
  // By an expression that all match: the parser for what no other is for, `*`, is looked up again for each request.
  for (const every of [/^/, '*']) app.addContentTypeParser(every, collect)
}

function collectBody({ raw }: FastifyRequest, maxBytes: number, done: Done): void {
  if (Number(raw.headers['content-length']) > maxBytes) {
    done(new FST_ERR_CTP_BODY_TOO_LARGE())
    return
  }
  const pieces: Buffer[] = []
  let bytes = 0
  let isDone = false
  // The listeners stay: to take three of them away costs each request more than the rest of this.
  const settle = (error: Error | null, body?: Buffer) => {
    if (isDone) return
    isDone = true
    pieces.length = 0
    done(error, body)
  }
  raw.on('data', (piece: Buffer) => {
    if (isDone) return
    bytes += piece.length
    pieces.push(piece)
    if (bytes > maxBytes) settle(new FST_ERR_CTP_BODY_TOO_LARGE())
  })
  raw.on('end', () => settle(null, pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, bytes)))
  // A client that went away is no failure of this service.
  raw.on('error', (error: Error) => settle(Object.assign(error, { statusCode: 400 })))
}
