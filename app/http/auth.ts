/** Bearer API keys: kept as hashes, compared in constant time, each with the name that logs and limits use. */
import { createHash, timingSafeEqual } from 'node:crypto'
import bearerAuth from '@fastify/bearer-auth'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { MillraceError } from '../errors.ts'
import type { CredentialSet, Credentials } from './credentials.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Name of the API key, or the address when no keys are configured. */
    client: string
  }
}

/** Without keys everyone is let in. */
export async function requireKey(app: FastifyInstance, credentials: Credentials): Promise<void> {
  app.decorateRequest('client', '')
  if (credentials.current.keys.size === 0) {
    app.addHook('onRequest', (request, _reply, done) => {
      request.client = request.ip
      done()
    })
    return
  }
  let clients = clientsOf(credentials.current)
  credentials.onReplaced((now) => {
    clients = clientsOf(now)
  })
  await app.register(bearerAuth, {
    keys: [],
    addHook: false,
    specCompliance: 'rfc6749', // the scheme's case does not matter
    verifyErrorLogLevel: 'debug',
    auth: (key: string, request: FastifyRequest) => {
      const hash = sha256(key)
      // Every key is compared, so that the time tells nothing about which one was close.
      const found = clients.filter((client) => timingSafeEqual(client.hash, hash))[0]
      if (found) request.client = found.name
      return found !== undefined
    },
  })
  app.addHook('onRequest', (request, reply, done) => {
    const verify = app.verifyBearerAuth
    if (verify === undefined) throw new Error('@fastify/bearer-auth is not registered')
    verify(request, reply, (error) => {
      if (error === undefined) return done()
      reply.header('www-authenticate', 'Bearer realm="millrace"')
      done(new MillraceError('UNAUTHORIZED', 'send "Authorization: Bearer <key>" with one of the keys of API_KEYS'))
    })
  })
}

function clientsOf({ keys }: CredentialSet): { readonly name: string; readonly hash: Buffer }[] {
  return [...keys].map(([name, hex]) => ({ name, hash: Buffer.from(hex, 'hex') }))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
