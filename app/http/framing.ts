/** Checks headers that frame and route a request, where RFC 9112 is stricter than Node's parser. */
import type { IncomingMessage } from 'node:http'
import { isIPv4 } from 'node:net'
import { MillraceError } from '../errors.ts'

/** uri-host [ ":" port ] (RFC 3986, section 3.2.2). Two headers are joined by ", ", which never matches. */
const HOST = /^(\[[\da-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/i

/** Keeps the last valid host of a listener: hosts repeat, so it is not matched again. */
export interface Framing {
  /**
   * Whether a Host that is a domain is refused. A web page can point its own domain at this machine (DNS rebinding) and
   * then send any event.
   */
  readonly refusesDomains: boolean
  lastGoodHost?: string
}

/** @throws MillraceError UNSUPPORTED_HTTP_VERSION, MALFORMED, UNSUPPORTED_TRANSFER_CODING, FORBIDDEN. */
export function checkFraming(request: IncomingMessage, framing: Framing): void {
  const { host, 'transfer-encoding': codings } = request.headers
  if (request.httpVersion !== '1.1' && request.httpVersion !== '1.0') {
    const fix = 'send HTTP/1.1 or HTTP/1.0'
    throw new MillraceError('UNSUPPORTED_HTTP_VERSION', `HTTP/${request.httpVersion} is not supported here: ${fix}`)
  }
  if (codings !== undefined) checkTransferCodings(codings, request.httpVersion)
  if (host === framing.lastGoodHost && host !== undefined) return
  if (host === undefined) {
    if (request.httpVersion === '1.0') return
    throw new MillraceError('MALFORMED', 'the header host is missing: HTTP/1.1 needs it (RFC 9112, section 3.2)')
  }
  const name = HOST.exec(host)?.[1]
  if (name === undefined) {
    throw new MillraceError('MALFORMED', 'the header host is invalid: send one, as host or host:port')
  }
  if (framing.refusesDomains && isDomain(name)) {
    const fix = 'send to localhost, or set API_KEYS or ALLOW_ANONYMOUS=true'
    throw new MillraceError('FORBIDDEN', `without API keys, this listener does not answer to a domain: ${fix}`)
  }
  framing.lastGoodHost = host
}

/** A name that a web page can have: it has a dot and is not an address. */
function isDomain(host: string): boolean {
  return host.includes('.') && !isIPv4(host) && !/\.localhost\.?$/i.test(host)
}

/** Refuses every coding except chunked: Node does not decode the others, so the encoded bytes would be stored. */
function checkTransferCodings(codings: string, httpVersion: string): void {
  const names = codings.toLowerCase().split(',')
  if (names.at(-1)?.trim() !== 'chunked') {
    const fix = 'send chunked alone, or content-length'
    throw new MillraceError('MALFORMED', `transfer-encoding does not end in chunked (RFC 9112, section 6.3): ${fix}`)
  }
  if (names.length > 1) {
    const fix = 'compress with content-encoding, and send chunked or with content-length'
    throw new MillraceError('UNSUPPORTED_TRANSFER_CODING', `transfer-encoding other than chunked: ${fix}`)
  }
  if (httpVersion === '1.0') {
    throw new MillraceError('MALFORMED', 'HTTP/1.0 has no transfer-encoding: send content-length, or HTTP/1.1')
  }
}
