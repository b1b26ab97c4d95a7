/**
 * Every error that Millrace raises on purpose: its code, its HTTP status, and whether the same call can succeed later.
 * Expected outcomes (a full channel, a closed one) are return values; everything thrown is a {@link MillraceError}. Its
 * `message` is for the person who reads it: what happened, where, and what to do next.
 */

interface Definition {
  /** HTTP status for a client; 500 for errors that only an operator sees. */
  readonly status: number
  /** Whether the same call can succeed later without changes. */
  readonly retryable: boolean
  /** Short, fixed text: the `title` of RFC 9457. */
  readonly title: string
}

export const ERRORS = {
  // The request
  MALFORMED: { status: 400, retryable: false, title: 'Malformed request' },
  UNAUTHORIZED: { status: 401, retryable: false, title: 'API key or token missing or invalid' },
  SIGNATURE_INVALID: { status: 401, retryable: false, title: 'Signature missing or invalid' },
  FORBIDDEN: { status: 403, retryable: false, title: 'Not allowed from here' },
  OUT_OF_SCOPE: { status: 403, retryable: false, title: 'Not allowed for this client' },
  NOT_FOUND: { status: 404, retryable: false, title: 'No such resource' },
  METHOD_NOT_ALLOWED: { status: 405, retryable: false, title: 'Method not allowed' },
  REQUEST_TIMEOUT: { status: 408, retryable: true, title: 'Request not received in time' },
  BODY_TOO_LARGE: { status: 413, retryable: false, title: 'Body too large' },
  TOO_MANY_EVENTS: { status: 413, retryable: false, title: 'Too many events in one request' },
  UNSUPPORTED_TYPE: { status: 415, retryable: false, title: 'Content type not supported' },
  UNSUPPORTED_ENCODING: { status: 415, retryable: false, title: 'Content encoding not supported' },
  EXPECTATION_FAILED: { status: 417, retryable: false, title: 'Expectation not supported' },
  NO_VALID_EVENT: { status: 422, retryable: false, title: 'No event was acceptable' },
  OVER_QUOTA: { status: 429, retryable: true, title: 'Over the quota of this client' },
  HEADERS_TOO_LARGE: { status: 431, retryable: false, title: 'Headers too large' },
  UNSUPPORTED_TRANSFER_CODING: { status: 501, retryable: false, title: 'Transfer coding not supported' },
  UNSUPPORTED_HTTP_VERSION: { status: 505, retryable: false, title: 'HTTP version not supported' },
  OVERLOADED: { status: 503, retryable: true, title: 'Too many requests in progress' },
  AUTH_UNAVAILABLE: { status: 503, retryable: true, title: 'Tokens cannot be checked' },
  // The pipeline
  CHANNEL_CLOSED: { status: 503, retryable: true, title: 'The channel is closed' },
  CHANNEL_FULL: { status: 503, retryable: true, title: 'The channel is full' },
  CHANNEL_ITEM_TOO_LARGE: { status: 413, retryable: false, title: 'Larger than the whole channel' },
  SHUTTING_DOWN: { status: 503, retryable: true, title: 'Shutting down' },
  LOG_FULL: { status: 503, retryable: true, title: 'The log is full' },
  DISK_FULL: { status: 503, retryable: true, title: 'The disk is full' },
  LOG_UNAVAILABLE: { status: 503, retryable: true, title: 'The log cannot be reached' },
  LOG_FAILED: { status: 503, retryable: true, title: 'The log failed and is closed for writing' },
  LOG_CLOSED: { status: 503, retryable: true, title: 'The log is closed' },
  // The operator
  CONFIG_INVALID: { status: 500, retryable: false, title: 'Invalid configuration' },
  DATA_DIR_LOCKED: { status: 500, retryable: true, title: 'Data directory in use' },
  DATA_DIR_UNUSABLE: { status: 500, retryable: false, title: 'Data directory unusable' },
  LOG_FORMAT: { status: 500, retryable: false, title: 'Unknown log format' },
  LISTEN_FAILED: { status: 500, retryable: true, title: 'Cannot listen' },
} as const satisfies Record<string, Definition>

export type ErrorCode = keyof typeof ERRORS

export class MillraceError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'MillraceError'
    this.code = code
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable
  }
}

/** The `code` of a system error (`ENOSPC`, `EACCES`, …), or undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** One line for a log or a reason field, whatever was thrown. */
export function messageOf(error: unknown): string {
  // Node throws this without a message when a host has several addresses and none of them answers.
  if (error instanceof AggregateError && error.message === '')
    return [...new Set(error.errors.map(messageOf))].join(', ')
  return error instanceof Error ? error.message : String(error)
}
