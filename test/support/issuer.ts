/** An issuer of tokens on loopback: a JWK Set over HTTP, and what it signs. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import { onTestFinished } from 'vitest'

export const AUDIENCE = 'millrace-tests'

interface SigningKey {
  readonly alg: string
  readonly kid: string
  readonly privateKey: CryptoKey
  readonly publicJwk: JWK
}

export class Issuer {
  readonly url: string
  /** What it publishes. */
  published: JWK[] = []
  /** Answers instead of the keys, such as an error. */
  answer: ((response: ServerResponse) => void) | undefined
  asked = 0
  #next = 0
  #current: SigningKey | undefined

  private constructor(url: string) {
    this.url = url
  }

  static async start(alg = 'ES256'): Promise<Issuer> {
    const server = createServer((_request, response) => {
      issuer.asked += 1
      if (issuer.answer) return issuer.answer(response)
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: issuer.published }))
    }).listen(0, '127.0.0.1')
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    await once(server, 'listening')
    const issuer = new Issuer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    issuer.published = [(await issuer.rotate(alg)).publicJwk]
    return issuer
  }

  /** A new key, which is neither published nor used yet. */
  async next(alg = 'ES256'): Promise<SigningKey> {
    const { privateKey, publicKey } = await generateKeyPair(alg)
    const kid = `key-${this.#next++}`
    return { alg, kid, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } }
  }

  /** Signs with it from now on. */
  use(key: SigningKey): void {
    this.#current = key
  }

  /** Signs with a new key from now on, which is not published yet. */
  async rotate(alg = 'ES256'): Promise<SigningKey> {
    const key = await this.next(alg)
    this.use(key)
    return key
  }

  /** Variables of a service that takes its tokens. */
  get variables(): Record<string, string> {
    return { AUTH_JWKS_URL: `${this.url}/jwks`, AUTH_ISSUER: this.url, AUTH_AUDIENCE: AUDIENCE }
  }

  claims(more: Record<string, unknown> = {}): JWTPayload {
    const now = Math.floor(Date.now() / 1000)
    return { iss: this.url, aud: AUDIENCE, sub: 'till-7', iat: now, exp: now + 600, ...more }
  }

  /** A valid token, unless `claims` makes it another. */
  sign(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
    const key = this.#current
    if (key === undefined) throw new Error('it has no key')
    return new SignJWT(this.claims(claims))
      .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
      .sign(key.privateKey)
  }
}
