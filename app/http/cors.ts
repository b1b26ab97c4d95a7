/**
 * Pages of other origins (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol). Each public key lists its origins
 * (api-keys.ts). Cookies and other credentials are never allowed: a page sends its key.
 *
 *     OPTIONS, without a key ─▶ an origin of any public key may ask         (a browser keeps the answer for two hours)
 *     POST, with the key     ─▶ the origin must be one of that very key
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { CredentialSet, Credentials } from './credentials.ts'

/** Chromium's limit, and no browser keeps a preflight longer. */
const PREFLIGHT_SECONDS = 7200
/** `*` covers every header except `authorization` (section 4.10.1). */
const ALLOWED_HEADERS = 'authorization, content-encoding, content-type, *'

/** The current origins of all public keys. */
export class Origins {
  #origins: ReadonlySet<string>

  constructor(credentials: Credentials) {
    this.#origins = originsOf(credentials.current)
    credentials.onReplaced((now) => {
      this.#origins = originsOf(now)
    })
  }

  /** Lets the page read the answer, even if the answer says that its key is invalid. */
  expose(origin: string, reply: FastifyReply): boolean {
    reply.header('vary', 'Origin')
    if (!this.#origins.has(origin)) return false
    reply.header('access-control-allow-origin', origin).header('access-control-expose-headers', 'retry-after')
    return true
  }
}

function originsOf({ keys }: CredentialSet): ReadonlySet<string> {
  return new Set([...keys.values()].flatMap(({ publicKey }) => publicKey?.origins ?? []))
}

/** Answers preflights: `OPTIONS` at the path, sent without a key. Any other `OPTIONS` is answered as on every route. */
export function answerPreflights(app: FastifyInstance, path: string, origins: Origins): void {
  app.options(path, ({ headers }, reply) => {
    const { origin, 'access-control-request-method': method } = headers
    if (origin !== undefined && method !== undefined && origins.expose(origin, reply)) {
      reply
        .header('access-control-allow-methods', 'POST')
        .header('access-control-allow-headers', ALLOWED_HEADERS)
        .header('access-control-max-age', PREFLIGHT_SECONDS)
    }
    reply.code(204).header('allow', 'OPTIONS, POST').send()
  })
}
