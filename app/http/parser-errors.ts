/** What never becomes a request: errors of the HTTP parser, expectations, tunnels. Answered as problem documents, too. */
import { type IncomingMessage, METHODS, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import { ERRORS, type ErrorCode, MillraceError, systemCode } from '../errors.ts'
import { closeInStages, closeInStagesWhenAnswered, isEnding, takeNoMore } from './close-in-stages.ts'
import { PROBLEM_TYPE, problemOf } from './problem.ts'

/** Called for each that is answered. */
type Refused = (code: ErrorCode) => void

const NO_SUCH_VERSION = new MillraceError(
  'UNSUPPORTED_HTTP_VERSION',
  'this listener speaks HTTP/1.1 and HTTP/1.0: send one of these',
)
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
  HPE_PAUSED_H2_UPGRADE: NO_SUCH_VERSION, // "PRI", which begins HTTP/2
}

/**
 * For Fastify's `clientErrorHandler`.
 * @param logger gets why a TLS connection was not made, at level debug: nothing can be answered there.
 */
export function answerParserErrors(refused: Refused, logger: Pick<FastifyBaseLogger, 'debug'>) {
  return (error: Error, socket: Socket): void => {
    if (/^ERR_(SSL|TLS)_/.test(systemCode(error) ?? '')) {
      logger.debug({ err: error }, 'a TLS connection failed')
      return void socket.destroy()
    }
    // Reset, or closed before it has sent anything, such as a spare connection of a load balancer: nobody asks.
    const isNobodys = systemCode(error) === 'ECONNRESET' || !socket.writable || socket.bytesRead === 0
    if (isNobodys) return void socket.destroy()
    if (isEnding(socket)) return
    answerLast(socket, BY_CODE[systemCode(error) ?? ''] ?? malformed(error), refused)
  }
}

/** The parser has one code for a version that there is not and for what follows a version, such as a bare line feed. */
function malformed(error: Error): MillraceError {
  if (error.message.endsWith('Invalid HTTP version')) return NO_SUCH_VERSION
  return new MillraceError('MALFORMED', `this is not valid HTTP (${error.message}): see RFC 9112`)
}

/** The response that is begun or awaited on a connection. Node's own handler of these errors asks the same. */
function responseOn(socket: Socket): ServerResponse | undefined {
  return (socket as { _httpMessage?: ServerResponse })._httpMessage ?? undefined
}

/**
 * @param maxBodyBytes a larger body is not asked for (`Expect: 100-continue`).
 */
export function answerExpectations(server: Server, maxBodyBytes: number, refused: Refused): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    if (!(Number(request.headers['content-length']) > maxBodyBytes)) response.writeContinue()
    server.emit('request', request, response)
  })
  server.on('checkExpectation', ({ socket }: IncomingMessage, response: ServerResponse) => {
    if (isEnding(socket)) return
    const problem = new MillraceError('EXPECTATION_FAILED', 'an expectation other than 100-continue: leave it out')
    respondLast(response, problem, refused)
  })
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    socket.on('error', () => socket.destroy()) // Node has taken its own listener away
    const problem = new MillraceError('METHOD_NOT_ALLOWED', 'this is no proxy: send events to POST /v1/events')
    answerLast(socket, problem, refused)
  })
}

/** Methods of RTSP, which Node's parser knows and Fastify does not: it would write a page of log for each request. */
export function refuseForeignMethods(server: Server, refused: Refused): void {
  const known = new Set(METHODS)
  const [serve] = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[]
  if (serve === undefined) throw new Error('the server has no listener for requests')
  server.removeAllListeners('request')
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (known.has(request.method ?? '')) serve(request, response)
    else respondLast(response, NO_SUCH_VERSION, refused)
  })
}

function respondLast(response: ServerResponse, problem: MillraceError, refused: Refused): void {
  const body = problemOf(problem)
  closeInStagesWhenAnswered(response.req.socket)
  response.writeHead(ERRORS[problem.code].status, headersOf(body)).end(body)
  refused(problem.code)
}

/** Answers what has no response. Requests before it are answered first: they are whole, and may be stored. */
function answerLast(socket: Socket, problem: MillraceError, refused: Refused): void {
  takeNoMore(socket)
  const response = responseOn(socket)
  if (response?.req.complete) return void response.once('close', () => answerLast(socket, problem, refused))
  if (!socket.writable) return void socket.destroy()
  if (!response?.headersSent) {
    const { status } = ERRORS[problem.code]
    const body = problemOf(problem)
    const headers = Object.entries(headersOf(body)).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers.join('')}\r\n${body}`)
    refused(problem.code)
  }
  closeInStages(socket)
}

function headersOf(body: string): Record<string, string | number> {
  return {
    date: new Date().toUTCString(),
    'content-type': PROBLEM_TYPE,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  }
}
