/** What never becomes a request: errors of the HTTP parser, expectations, tunnels. Answered as problem documents, too. */
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { ERRORS, type ErrorCode, MillraceError, systemCode } from '../errors.ts'
import { closeInStages, closeInStagesWhenAnswered } from './close-in-stages.ts'
import { problemOf } from './problem.ts'

/** Codes of Node and of its parser; all others are malformed requests. */
const BY_CODE: Readonly<Record<string, MillraceError>> = {
  ERR_HTTP_REQUEST_TIMEOUT: new MillraceError(
    'REQUEST_TIMEOUT',
    'the request did not arrive in time: send it again, or less at a time',
  ),
  HPE_HEADER_OVERFLOW: new MillraceError('HEADERS_TOO_LARGE', 'the headers are too large: send fewer or shorter ones'),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: new MillraceError(
    'BODY_TOO_LARGE',
    'the chunk extensions are too large: send chunks without extensions',
  ),
}

/** For Fastify's `clientErrorHandler`. @param refused called for each that is answered. */
export function answerParserErrors(refused: (code: ErrorCode) => void) {
  return (error: Error, socket: Socket): void => {
    // Reset, or answered already: nobody is there to read.
    if (systemCode(error) === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    const response = responseOn(socket)
    if (response?.req.complete || response?.headersSent) {
      // The request before is whole: its answer comes first, and is the last one.
      if (!response.headersSent) response.setHeader('connection', 'close')
      closeInStagesWhenAnswered(socket)
      return
    }
    const problem =
      BY_CODE[systemCode(error) ?? ''] ??
      new MillraceError('MALFORMED', `this is not valid HTTP (${error.message}): see RFC 9112`)
    answer(socket, problem)
    refused(problem.code)
  }
}

/** The response that is begun or awaited on a connection. Node's own handler of these errors asks the same. */
function responseOn(socket: Socket): ServerResponse | undefined {
  return (socket as { _httpMessage?: ServerResponse })._httpMessage ?? undefined
}

/**
 * @param maxBodyBytes a larger body is not asked for (`Expect: 100-continue`).
 * @param refused called for each that is answered.
 */
export function answerExpectations(server: Server, maxBodyBytes: number, refused: (code: ErrorCode) => void): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    if (!(Number(request.headers['content-length']) > maxBodyBytes)) response.writeContinue()
    server.emit('request', request, response)
  })
  server.on('checkExpectation', ({ socket }: IncomingMessage) => {
    answer(socket, new MillraceError('EXPECTATION_FAILED', 'an expectation other than 100-continue: leave it out'))
    refused('EXPECTATION_FAILED')
  })
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    answer(socket, new MillraceError('METHOD_NOT_ALLOWED', 'this is no proxy: send events to POST /v1/events'))
    refused('METHOD_NOT_ALLOWED')
  })
}

function answer(socket: Socket, problem: MillraceError): void {
  const { status } = ERRORS[problem.code]
  const body = problemOf(problem)
  socket.write(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/problem+json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
  closeInStages(socket)
}
