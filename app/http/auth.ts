/**
 * Authentication: API keys, kept as hashes and compared in constant time, tokens of an issuer (tokens.ts), and
 * certificates of connections (client-certificates.ts). Each client has a name for logs and limits. It may also have a
 * grant that limits the events it may send.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import bearerAuth from '@fastify/bearer-auth'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'
import { MillraceError } from '../errors.ts'
import { PUBLIC_PREFIX } from './api-keys.ts'
import { certificateNames } from './client-certificates.ts'
import type { Origins } from './cors.ts'
import type { CredentialSet, Credentials } from './credentials.ts'
import type { Grant } from './identity.ts'
import { addressOf } from './stamps.ts'
import type { Tokens } from './tokens.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Name of the API key, or `jwt:` and the name in a token. When neither is configured, `cert:` and the name in the
     * certificate, or the address.
     */
    client: string
    /** Undefined for an API key without a scope: it may send any event. */
    grant: Grant | undefined
  }
}

/** Half of Node's limit for all headers. */
const MAX_TOKEN_LENGTH = 8192

interface NamedGrant {
  readonly name: string
  readonly grant: Grant | undefined
}

interface KeyClient extends NamedGrant {
  readonly hash: Buffer
}

export interface AuthOptions {
  readonly config: Config
  readonly credentials: Credentials
  readonly logger: FastifyBaseLogger
  /** Origins of the public keys. */
  readonly origins: Origins
}

/** Whether requests need a key or a token. */
export function needsCredentials({ apiKeys, AUTH_JWKS_URL }: Config): boolean {
  return apiKeys.size > 0 || AUTH_JWKS_URL !== ''
}

/** Without keys and without an issuer, every client is accepted. */
export async function requireCredentials(app: FastifyInstance, options: AuthOptions): Promise<void> {
  const { config, credentials } = options
  app.decorateRequest('client', '')
  app.decorateRequest('grant', undefined)
  if (!needsCredentials(config)) {
    const identifyAnybody = anybodyBy(config)
    app.addHook('onRequest', (request, _reply, done) => {
      identifyAnybody(request)
      done()
    })
    return
  }
  let clients = clientsOf(credentials.current)
  let byCertificate = byCertificateOf(credentials.current)
  credentials.onReplaced((now) => {
    clients = clientsOf(now)
    byCertificate = byCertificateOf(now)
  })
  const tokens = await openTokens(options)
  const identify = (given: string, request: FastifyRequest): KeyClient | undefined => {
    const hash = sha256(given)
    // Compare with every key, so that the time does not depend on which one matches.
    const found = clients.filter((client) => timingSafeEqual(client.hash, hash))[0]
    if (found === undefined) return undefined
    request.client = found.name
    if (found.grant !== undefined) request.grant = found.grant
    return found
  }
  await app.register(bearerAuth, {
    keys: [],
    addHook: false,
    specCompliance: 'rfc6749', // the scheme's case does not matter
    verifyErrorLogLevel: 'debug',
    auth: (given: string, request: FastifyRequest) => {
      if (identify(given, request)) return true
      return tokens === undefined ? false : verifyToken(tokens, given, request)
    },
  })
  const isKnown = (request: FastifyRequest) => {
    const key = publicKeyInAddress(request)
    if (key !== undefined && identify(key, request) !== undefined) return true
    return byCertificate.size > 0 && identifyByCertificate(byCertificate, request)
  }
  answerUnauthorized(app, { takesTokens: tokens !== undefined, isKnown, origins: options.origins })
}

/** Everyone is let in, and known by the certificate that all of them need, or by the address. Chosen once. */
function anybodyBy({ TLS_CLIENT_CA_FILE, TRUSTED_PROXIES }: Config): (request: FastifyRequest) => void {
  if (TLS_CLIENT_CA_FILE !== '') return identifyByAnyCertificate
  if (TRUSTED_PROXIES.length > 0) {
    return (request) => {
      request.client = addressOf(request) ?? ''
    }
  }
  return (request) => {
    request.client = request.ip
  }
}

function identifyByAnyCertificate(request: FastifyRequest): void {
  const [name = ''] = certificateNames(request.raw.socket)
  request.client = `cert:${name}`
  request.grant = { scope: undefined, principal: { authtype: 'service_account', authid: name } }
}

function identifyByCertificate(clients: ReadonlyMap<string, NamedGrant>, request: FastifyRequest): boolean {
  const name = certificateNames(request.raw.socket).find((one) => clients.has(one))
  const found = name === undefined ? undefined : clients.get(name)
  if (found === undefined) return false
  request.client = found.name
  request.grant = found.grant
  return true
}

/**
 * A key in the address (`?key=pk_…`), for `sendBeacon`, which cannot send headers. Only a public key is accepted there:
 * proxies on the way log addresses.
 */
function publicKeyInAddress({ query }: FastifyRequest): string | undefined {
  const { key } = query as { readonly key?: unknown }
  return typeof key === 'string' && key.startsWith(PUBLIC_PREFIX) ? key : undefined
}

/** Why a public key may not be used here; undefined for any other client. */
function refusalOfOrigin({ grant, headers }: FastifyRequest): MillraceError | undefined {
  const { publicKey } = grant ?? {}
  if (publicKey === undefined || publicKey.origins.includes(headers.origin ?? '')) return undefined
  const from = headers.origin === undefined ? 'without an Origin header' : 'from this origin'
  return new MillraceError('FORBIDDEN', `a public key may not be used ${from}: add it to the key as origin=…`)
}

interface Door {
  readonly takesTokens: boolean
  /** Whether the address holds a valid public key, or the certificate is of a client. If so, this sets the client. */
  readonly isKnown: (request: FastifyRequest) => boolean
  readonly origins: Origins
}

function answerUnauthorized(app: FastifyInstance, { takesTokens, isKnown, origins }: Door): void {
  const token = takesTokens ? ', or a token of AUTH_ISSUER' : ''
  const fix = `send "Authorization: Bearer <key>" with one of the keys of API_KEYS${token}`
  app.addHook('onRequest', (request, reply, done) => {
    const verify = app.verifyBearerAuth
    if (verify === undefined) throw new Error('@fastify/bearer-auth is not registered')
    const { origin, authorization } = request.headers
    if (origin !== undefined) origins.expose(origin, reply)
    if (authorization === undefined && isKnown(request)) return done(refusalOfOrigin(request))
    verify(request, reply, (error) => {
      if (error === undefined) return done(refusalOfOrigin(request))
      if (error instanceof MillraceError && error.code !== 'UNAUTHORIZED') return done(error)
      const isToken = error instanceof MillraceError
      const about = isToken ? `, error="invalid_token", error_description="${quotable(error.message)}"` : ''
      reply.header('www-authenticate', `Bearer realm="millrace"${about}`)
      done(isToken ? error : new MillraceError('UNAUTHORIZED', fix))
    })
  })
}

/** Replaces characters that `error_description` may not hold (RFC 6750, section 3). */
function quotable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]|["\\]/g, "'")
}

async function openTokens({ config, logger }: AuthOptions): Promise<Tokens | undefined> {
  if (config.AUTH_JWKS_URL === '') return undefined
  const { Tokens } = await import('./tokens.ts')
  return new Tokens(config, logger)
}

/** @returns false if the text is not a token. @throws MillraceError that says what is wrong with the token. */
async function verifyToken(tokens: Tokens, given: string, request: FastifyRequest): Promise<boolean> {
  if (!isToken(given)) return false
  const { client, grant } = await tokens.verify(given)
  request.client = client
  request.grant = grant
  return true
}

/** Three parts, as every signed JWT has (RFC 7515, section 7.1). */
function isToken(text: string): boolean {
  return text.length <= MAX_TOKEN_LENGTH && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text)
}

function clientsOf({ keys }: CredentialSet): KeyClient[] {
  return [...keys].flatMap(([name, { sha256: hex, scope, publicKey }]) => {
    if (hex === undefined) return []
    return { name, hash: Buffer.from(hex, 'hex'), grant: scope && { scope, principal: undefined, publicKey } }
  })
}

function byCertificateOf({ keys }: CredentialSet): ReadonlyMap<string, NamedGrant> {
  const clients = new Map<string, NamedGrant>()
  for (const [name, { certificate, scope }] of keys) {
    if (certificate === undefined) continue
    clients.set(certificate, { name, grant: { scope, principal: { authtype: 'service_account', authid: name } } })
  }
  return clients
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
