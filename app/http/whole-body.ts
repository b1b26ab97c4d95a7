/**
 * Collects a body as the bytes that were received. Nearly all bodies arrive in one piece, and that piece is used as it
 * is. Fastify's own collector copies every body, and this memory outside of the heap is what triggers full collections.
 * Node gives each piece its own memory (`Buffer::Copy` in node_http_parser.cc), so nothing else writes into it.
 */
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify'

const { FST_ERR_CTP_BODY_TOO_LARGE } = errorCodes

type Done = (error: Error | null, body?: Buffer) => void

/** Accepts every content type: the route checks the type, because it also has the headers. */
export function keepBodiesAsBytes(app: FastifyInstance, maxBytes: number): void {
  app.removeAllContentTypeParsers()
  const collect = (request: FastifyRequest, _payload: unknown, done: Done) => collectBody(request, maxBytes, done)
  // An expression that matches every type: Fastify does not cache the lookup of the fallback parser, `*`.
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
  // The listeners stay: removing the three of them would cost more than the rest of this function.
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
  // A client that closed its connection is not an error of this service.
  raw.on('error', (error: Error) => settle(Object.assign(error, { statusCode: 400 })))
}
