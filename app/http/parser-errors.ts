/** Answers input that never reaches a route: HTTP parser errors, expectations, tunnels. Also as problem documents. */
import { type IncomingMessage, METHODS, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import { ERRORS, type ErrorCode, MillraceError, systemCode } from '../errors.ts'
import { closeInStages, closeInStagesWhenAnswered, isEnding, takeNoMore } from './close-in-stages.ts'
import { PROBLEM_TYPE, problemOf } from './problem.ts'

/** Called for each answer of this module. */
type Refused = (code: ErrorCode) => void

const NO_SUCH_VERSION = new MillraceError(
  'UNSUPPORTED_HTTP_VERSION',
  'this listener speaks HTTP/1.1 and HTTP/1.0: send one of these',
)
/** Error codes of Node and of its parser. Any other code is a malformed request. */
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
  HPE_PAUSED_H2_UPGRADE: NO_SUCH_VERSION, // "PRI", the first bytes of HTTP/2
}

/**
 * For Fastify's `clientErrorHandler`.
 * @param logger gets the reason of a failed TLS handshake, at level debug: it cannot be answered over HTTP.
 */
export function answerParserErrors(refused: Refused, logger: Pick<FastifyBaseLogger, 'debug'>) {
  return (error: Error, socket: Socket): void => {
    if (/^ERR_(SSL|TLS)_/.test(systemCode(error) ?? '')) {
      logger.debug({ err: error }, 'a TLS connection failed')
      return void socket.destroy()
    }
    // A connection that was reset, or never sent a byte (a spare one of a load balancer), waits for no answer.
    const isNobodys = systemCode(error) === 'ECONNRESET' || !socket.writable || socket.bytesRead === 0
    if (isNobodys) return void socket.destroy()
    if (isEnding(socket)) return
    answerLast(socket, BY_CODE[systemCode(error) ?? ''] ?? malformed(error), refused)
  }
}

/** The parser has one code for two errors: an unknown version, and invalid bytes after it, such as a bare LF. */
function malformed(error: Error): MillraceError {
  if (error.message.endsWith('Invalid HTTP version')) return NO_SUCH_VERSION
  return new MillraceError('MALFORMED', `this is not valid HTTP (${error.message}): see RFC 9112`)
}

/** The response in progress on a connection. Node's own handler of these errors checks the same. */
function responseOn(socket: Socket): ServerResponse | undefined {
  return (socket as { _httpMessage?: ServerResponse })._httpMessage ?? undefined
}

/**
 * @param maxBodyBytes a larger body is refused before it is sent (`Expect: 100-continue`).
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
    socket.on('error', () => socket.destroy()) // Node has removed its own listener
    const problem = new MillraceError('METHOD_NOT_ALLOWED', 'this is not a proxy: send events to POST /v1/events')
    answerLast(socket, problem, refused)
  })
}

/** Methods of RTSP: Node's parser accepts them, but Fastify would log a long error for each request. */
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

/** Answers input that has no response object, after the earlier requests: those are complete and may be stored. */
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
