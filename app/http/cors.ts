/**
 * Pages of other origins (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol). Which origins may send stands behind
 * the public keys (api-keys.ts). Cookies and the like are never allowed: a page sends its key.
 *
 *     OPTIONS, without a key ─▶ an origin of any public key may ask         (a browser keeps the answer for two hours)
 *     POST, with the key     ─▶ the origin must be one of that very key
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { CredentialSet, Credentials } from './credentials.ts'

/** No browser keeps a preflight for longer than Chromium does. */
const PREFLIGHT_SECONDS = 7200
/** `*` stands for all but the first (section 4.10.1). */
const ALLOWED_HEADERS = 'authorization, content-encoding, content-type, *'

/** The origins of all public keys, now. */
export class Origins {
  #origins: ReadonlySet<string>

  constructor(credentials: Credentials) {
    this.#origins = originsOf(credentials.current)
    credentials.onReplaced((now) => {
      this.#origins = originsOf(now)
    })
  }

  /** Lets the page read the answer, also that its key is not good. */
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

/** `OPTIONS` at the path, which a browser sends without a key; any other is answered as for every route. */
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
