/**
 * The keys of an issuer of tokens (JWK Set, RFC 7517), fetched when they are needed and kept:
 *
 *     age   0 ──────── 10 min ──────────────────────────────── 24 h ─────▶
 *           used         │ used, fetched in the background       │ no longer used: 503
 *
 * A token with an unknown `kid` triggers a fetch at once: that is how a new key is found. Fetches always begin at least
 * 5 s apart, so that tokens with invented kids cannot load the issuer. If the issuer does not answer, or its answer has
 * no keys, the previous keys stay.
 */
import type { FastifyBaseLogger } from 'fastify'
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { MillraceError, messageOf } from '../errors.ts'

const REFRESH_AFTER_MS = 10 * 60 * 1000
const MAX_AGE_MS = 24 * 60 * 60 * 1000
const COOLDOWN_MS = 5000
const FETCH_TIMEOUT_MS = 5000
const MAX_BYTES = 1024 * 1024
const MAX_KEYS = 100

export interface KeySetLimits {
  readonly refreshAfterMs?: number
  readonly maxAgeMs?: number
  readonly cooldownMs?: number
}

interface Keys {
  readonly find: ReturnType<typeof createLocalJWKSet>
  readonly fetchedAtMs: number
}

export class KeySet {
  readonly #url: string
  readonly #logger: Pick<FastifyBaseLogger, 'info' | 'warn'>
  readonly #limits: Required<KeySetLimits>
  #keys: Keys | undefined
  /** When the last fetch began. */
  #triedAtMs = Number.NEGATIVE_INFINITY
  #fetching: Promise<void> | undefined
  #isFailing = false

  /** @param limits Default: 10 minutes, 24 hours, 5 seconds. */
  constructor(url: string, logger: Pick<FastifyBaseLogger, 'info' | 'warn'>, limits: KeySetLimits = {}) {
    this.#url = url
    this.#logger = logger
    const defaults = { refreshAfterMs: REFRESH_AFTER_MS, maxAgeMs: MAX_AGE_MS, cooldownMs: COOLDOWN_MS }
    this.#limits = { ...defaults, ...limits }
  }

  /**
   * The key that a token names.
   * @throws MillraceError AUTH_UNAVAILABLE without usable keys; errors of jose when no key matches.
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const keys = await this.#usable()
    try {
      return await keys.find(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await this.#fetchUnlessCooling()
      const now = await this.#usable()
      if (now === keys) throw error
      return now.find(header, token)
    }
  }

  async #usable(): Promise<Keys> {
    const { refreshAfterMs, maxAgeMs } = this.#limits
    const ageMs = (keys: Keys) => performance.now() - keys.fetchedAtMs
    if (this.#keys === undefined || ageMs(this.#keys) > maxAgeMs) await this.#fetchUnlessCooling()
    else if (ageMs(this.#keys) > refreshAfterMs) void this.#fetchUnlessCooling()
    const keys = this.#keys
    if (keys !== undefined && ageMs(keys) <= maxAgeMs) return keys
    const problem = 'tokens cannot be checked, as their issuer does not answer: send it again in a moment'
    throw new MillraceError('AUTH_UNAVAILABLE', problem)
  }

  /** All callers that need a fetch wait for the same one. Never rejects. */
  #fetchUnlessCooling(): Promise<void> {
    if (this.#fetching) return this.#fetching
    if (performance.now() - this.#triedAtMs < this.#limits.cooldownMs) return Promise.resolve()
    this.#triedAtMs = performance.now()
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetch(): Promise<void> {
    try {
      const find = createLocalJWKSet(await fetchKeys(this.#url))
      this.#keys = { find, fetchedAtMs: performance.now() }
      if (this.#isFailing) this.#logger.info('AUTH_JWKS_URL: the keys of the issuer are available again')
      this.#isFailing = false
    } catch (error) {
      if (this.#isFailing) return // already logged
      this.#isFailing = true
      const consequence = this.#keys
        ? 'those from before are used for up to a day'
        : 'tokens are refused until keys are available'
      this.#logger.warn(`AUTH_JWKS_URL: cannot fetch the keys of the issuer (${causeOf(error)}); ${consequence}`)
    }
  }
}

/** @throws Error when the answer is not a set of 1 to 100 keys in at most 1 MiB. */
async function fetchKeys(url: string): Promise<JSONWebKeySet> {
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS)
  // Follow no redirect: keys may come only from the configured URL.
  const response = await fetch(url, { signal, redirect: 'error', headers: { accept: 'application/json' } })
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new Error(`it answers more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  if (!response.ok) throw new Error(`it answered ${response.status}`)
  const set: JSONWebKeySet = JSON.parse(Buffer.concat(chunks).toString())
  const count = Array.isArray(set?.keys) ? set.keys.length : 0
  if (count === 0 || count > MAX_KEYS) throw new Error(`it answered ${count} keys, but needs 1 to ${MAX_KEYS}`)
  return set
}

/** An error of fetch has the reason in its cause. */
function causeOf(error: unknown): string {
  return messageOf(error instanceof Error ? (error.cause ?? error) : error)
}
