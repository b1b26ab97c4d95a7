/**
 * Tokens of an OpenID Connect or OAuth 2.0 issuer (JWT, RFC 7519; as bearer, RFC 6750; what is checked, RFC 8725).
 *
 *     token ─▶ algorithm ─▶ key of the issuer ─▶ signature ─▶ iss, aud, exp, nbf ─▶ claims: client name, scope
 *
 * Loaded only where AUTH_JWKS_URL is set.
 */
import type { FastifyBaseLogger } from 'fastify'
import { errors, type JWTPayload, jwtVerify } from 'jose'
import type { Config } from '../config.ts'
import { MillraceError } from '../errors.ts'
import { type Grant, isClientName } from './identity.ts'
import { KeySet, type KeySetLimits } from './jwks.ts'
import { parseScope, type Scope } from './scope.ts'

/** Asymmetric algorithms only: with HS256, the issuer's public key would serve as the secret. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
const CLOCK_TOLERANCE_SECONDS = 5

type TokenVariables = Pick<
  Config,
  'AUTH_JWKS_URL' | 'AUTH_ISSUER' | 'AUTH_AUDIENCE' | 'AUTH_CLIENT_CLAIM' | 'AUTH_SCOPE_CLAIM' | 'AUTH_CLIENT_TYPE'
>

/** The client that sent a token. */
export interface TokenClient {
  /** Name for limits and the log. No API key can have such a name. */
  readonly client: string
  readonly grant: Grant
}

export class Tokens {
  readonly #variables: TokenVariables
  readonly #keys: KeySet

  constructor(variables: TokenVariables, logger: Pick<FastifyBaseLogger, 'info' | 'warn'>, limits?: KeySetLimits) {
    this.#variables = variables
    this.#keys = new KeySet(variables.AUTH_JWKS_URL, logger, limits)
  }

  /** @throws MillraceError UNAUTHORIZED (says what is wrong), OUT_OF_SCOPE, AUTH_UNAVAILABLE. */
  async verify(token: string): Promise<TokenClient> {
    const { AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience, AUTH_CLIENT_TYPE: authtype } = this.#variables
    const checks = { issuer, audience, algorithms: ALGORITHMS, clockTolerance: CLOCK_TOLERANCE_SECONDS }
    let claims: JWTPayload
    try {
      claims = (await jwtVerify(token, this.#keys.find, { ...checks, requiredClaims: ['exp'] })).payload
    } catch (error) {
      if (error instanceof MillraceError) throw error
      throw new MillraceError('UNAUTHORIZED', `the token ${problemOf(error)}`, { cause: error })
    }
    const authid = nameOf(claims, this.#variables.AUTH_CLIENT_CLAIM)
    const scope = scopeOf(claims, this.#variables.AUTH_SCOPE_CLAIM)
    return { client: `jwt:${authid}`, grant: { scope, principal: { authtype, authid } } }
  }
}

function nameOf(claims: JWTPayload, claim: string): string {
  const name = Object.hasOwn(claims, claim) ? claims[claim] : undefined
  if (typeof name === 'string' && isClientName(name)) return name
  throw new MillraceError('UNAUTHORIZED', `the token needs a claim ${claim} with a text of 1 to 256 characters`)
}

/**
 * Words for other services are ignored. A token without a word for this service may send nothing: use `type=*` to allow
 * every event.
 */
function scopeOf(claims: JWTPayload, claim: string): Scope | undefined {
  if (claim === '') return undefined
  const given = Object.hasOwn(claims, claim) ? claims[claim] : undefined
  const texts = (Array.isArray(given) ? given : [given]).filter((text) => typeof text === 'string')
  const words = texts.flatMap((text) => text.split(' ')).filter((word) => /^(type|source)=/.test(word))
  const scope = words.length === 0 ? undefined : parseScope(words)
  if (scope !== undefined) return scope
  const problem = `the claim ${claim} of the token allows nothing here: it needs 1 to 100 words type=PATTERN or source=PATTERN`
  throw new MillraceError('OUT_OF_SCOPE', problem)
}

/** The problem, for the client that sent the token. Quotes nothing from the token. */
function problemOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'has expired: get a new one'
  if (error instanceof errors.JWTClaimValidationFailed) {
    const known: Readonly<Record<string, string>> = {
      aud: 'is for another audience: get one for AUTH_AUDIENCE of this service',
      iss: 'is from another issuer: get one from AUTH_ISSUER of this service',
      nbf: 'is not valid yet: send it later, or look at the clocks',
      exp: 'needs a claim exp, a number of seconds since 1970',
    }
    return known[error.claim] ?? 'has a claim that is not valid'
  }
  if (error instanceof errors.JOSEAlgNotAllowed)
    return `has an algorithm that is not accepted: use one of ${ALGORITHMS.join(', ')}`
  if (error instanceof errors.JWKSNoMatchingKey) return 'is signed with a key that its issuer does not publish'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'has a signature that does not fit it'
  return 'is not a valid JWT: send it as its issuer made it'
}
