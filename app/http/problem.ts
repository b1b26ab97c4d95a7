/**
 * Every error that a client sees: RFC 9457 `application/problem+json`. With Retry-After on 429 and 503, and with
 * Accept-Encoding if the content coding is not supported.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ERRORS, type ErrorCode, MillraceError } from '../errors.ts'
import { makeLast } from './close-in-stages.ts'
import { SUPPORTED_CODINGS } from './inflate.ts'

const RETRY_AFTER_SECONDS = '1'
export const PROBLEM_TYPE = 'application/problem+json'
/** RFC 6750, section 3.1. */
const INSUFFICIENT_SCOPE = 'Bearer realm="millrace", error="insufficient_scope"'
/** After these, the connection closes: the rest of the body is too large, or its end is unknown. */
const CLOSING = new Set([400, 413, 501, 505])

/** Events that were not accepted, by their index in the request. `retryable`: valid, but not stored. */
export type Rejected = { index: number; reason: string; retryable?: true }[]

/** Fastify's own errors, raised before a route runs, and the code and message for each. */
const FROM_FASTIFY: Readonly<Record<string, (request: FastifyRequest) => readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ({ routeOptions }) => [
    'BODY_TOO_LARGE',
    `the body is larger than ${routeOptions.bodyLimit} bytes: send less at a time`,
  ],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ({ headers }) => [
    'UNSUPPORTED_TYPE',
    `content type ${JSON.stringify(headers['content-type'])} is not a media type: send one, as type/subtype`,
  ],
}

export class Refusal extends MillraceError {
  readonly rejected: Rejected

  constructor(code: ErrorCode, message: string, rejected: Rejected) {
    super(code, message)
    this.rejected = rejected
  }
}

export function toProblem(error: unknown, request: FastifyRequest): MillraceError | undefined {
  if (error instanceof MillraceError) return error
  const [code, message] = FROM_FASTIFY[(error as FastifyError).code]?.(request) ?? []
  return code && new MillraceError(code, message ?? '', { cause: error })
}

/** The problem document of an error that belongs to no request. */
export function problemOf(problem: MillraceError): string {
  const { status, title } = ERRORS[problem.code]
  const rejected = problem instanceof Refusal && problem.rejected.length > 0 ? problem.rejected : undefined
  return JSON.stringify({ type: urn(problem.code), title, status, detail: problem.message, rejected })
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error, request)
  const status = problem?.status ?? (error as FastifyError).statusCode ?? 500
  if (!request.raw.complete && (CLOSING.has(status) || !isRestShort(request))) makeLast(reply)
  if (problem !== undefined) {
    if (status === 429 || status === 503) reply.header('retry-after', RETRY_AFTER_SECONDS)
    if (problem.code === 'OUT_OF_SCOPE') reply.header('www-authenticate', INSUFFICIENT_SCOPE)
    if (problem.code === 'UNSUPPORTED_ENCODING') reply.header('accept-encoding', SUPPORTED_CODINGS)
    return reply.code(status).type(PROBLEM_TYPE).send(problemOf(problem))
  }
  const isOurs = status >= 500
  if (isOurs) request.log.error({ err: error, reqId: request.id }, 'request failed')
  const title = isOurs ? 'Internal error' : 'Bad request'
  const detail = isOurs ? 'this is a bug in Millrace: see its log' : (error as Error).message
  return reply
    .code(status)
    .type(PROBLEM_TYPE)
    .send(JSON.stringify({ type: 'about:blank', title, status, detail }))
}

/** Whether the rest of the body is short and has a known end, so that the connection can serve another request. */
function isRestShort({ headers, routeOptions }: FastifyRequest): boolean {
  const isKnown = headers['transfer-encoding'] === undefined && headers.expect === undefined
  return isKnown && Number(headers['content-length'] ?? 0) <= routeOptions.bodyLimit
}

function urn(code: ErrorCode): string {
  return `urn:millrace:problem:${code.toLowerCase().replaceAll('_', '-')}`
}
