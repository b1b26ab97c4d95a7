/** Tokens of an issuer, over the real listener and from a real JWK Set: which are taken, and what is said of the others. */
import { createHmac, createPublicKey } from 'node:crypto'
import fc from 'fast-check'
import { exportSPKI, importJWK, type JWK, SignJWT, UnsecuredJWT } from 'jose'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { MillraceError } from '../../app/errors.ts'
import { Tokens } from '../../app/http/tokens.ts'
import { type Harness, post, startHttp } from '../support/http.ts'
import { AUDIENCE, Issuer } from '../support/issuer.ts'
import { scrape, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const NOW = () => Math.floor(Date.now() / 1000)
/** Of a service on a machine that has other work. */
const SLOW_START = { readyWithinMs: 30_000 }
const silent = pino({ level: 'silent' })
const send = (http: Pick<Harness, 'url'>, token: string, body = '{"data":1}') =>
  post(http, body, { authorization: `Bearer ${token}` })

async function expectRefused(http: Harness, token: string, detail: RegExp): Promise<void> {
  const response = await send(http, token)
  const problem = (await response.json()) as { type: string; detail: string }
  expect([response.status, problem.type], problem.detail).toEqual([401, 'urn:millrace:problem:unauthorized'])
  expect(problem.detail).toMatch(detail)
  expect(response.headers.get('www-authenticate')).toMatch(/^Bearer realm="millrace"/)
  expect(await http.stored()).toEqual([])
}

describe('a valid token', () => {
  test.each(['ES256', 'ES512', 'RS256', 'PS256', 'Ed25519'])('of %s sends, beside API keys', async (alg) => {
    const issuer = await Issuer.start(alg)
    const http = await startHttp({ ...issuer.variables, API_KEYS: 'shop:0123456789abcdef' })
    expect((await send(http, await issuer.sign())).status).toBe(202)
    expect((await send(http, '0123456789abcdef')).status).toBe(202)
    expect((await send(http, await issuer.sign({ aud: ['other', AUDIENCE] }))).status).toBe(202)
    expect(await http.stored()).toHaveLength(3)
    expect(issuer.asked).toBe(1)
  })

  test('an API key asks no issuer, and is taken while there is none', async () => {
    const issuer = await Issuer.start()
    issuer.answer = (response) => response.writeHead(500).end()
    const http = await startHttp({ ...issuer.variables, API_KEYS: 'shop:0123456789abcdef' })
    expect((await send(http, '0123456789abcdef')).status).toBe(202)
    expect((await post(http, '{"data":1}', { authorization: 'Bearer wrong-key-0123456789' })).status).toBe(401)
    expect(issuer.asked).toBe(0)
  })

  test('stamps its events with the claim that names the client', async () => {
    const issuer = await Issuer.start()
    const stamps = { STAMP_CLIENT: 'authid', AUTH_CLIENT_CLAIM: 'email', AUTH_CLIENT_TYPE: 'user' }
    const http = await startHttp({ ...issuer.variables, ...stamps })
    expect((await send(http, await issuer.sign({ email: 'ä"@b.example' }))).status).toBe(202)
    expect((await http.stored()).map((line) => JSON.parse(line))).toEqual([
      { authtype: 'user', authid: 'ä"@b.example', data: 1 },
    ])
  })

  test('has limits of its own, which it does not share with a key of that name', async () => {
    const issuer = await Issuer.start()
    const keys = { API_KEYS: 'shop:0123456789abcdef', RATE_LIMIT_REQUESTS_PER_SECOND: '1' }
    const http = await startHttp({ ...issuer.variables, ...keys })
    const token = await issuer.sign({ sub: 'shop' })
    expect((await send(http, '0123456789abcdef')).status).toBe(202)
    expect((await send(http, token)).status).toBe(202)
    expect((await send(http, token)).status).toBe(429)
  })

  test('many clients add no series to the metrics, whatever their names are', async () => {
    const issuer = await Issuer.start()
    const limits = { RATE_LIMIT_REQUESTS_PER_SECOND: '5', QUOTA_EVENTS_PER_SECOND: '5', STAMP_CLIENT: 'authid' }
    const service = await startService(temporaryDirectory(), { ...issuer.variables, ...limits }, SLOW_START)
    const seriesAfter = async (first: number, last: number) => {
      for (let at = first; at < last; at++) {
        expect((await send(service, await issuer.sign({ sub: `client-${at}` }))).status).toBe(202)
      }
      const samples = await scrape(service)
      expect(samples.get('millrace_events_committed_total')).toBe(last)
      return [...samples.keys()].filter((name) => name.startsWith('millrace_')).sort()
    }
    const series = await seriesAfter(0, 1)
    expect(await seriesAfter(1, 200)).toEqual(series)
    expect(series.filter((name) => name.includes('client-'))).toEqual([])
  }, 60_000)

  test('is taken by every thread', async () => {
    const issuer = await Issuer.start()
    const service = await startService(temporaryDirectory(), { ...issuer.variables, WORKERS: '2' }, SLOW_START)
    const token = await issuer.sign()
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}`, connection: 'close' }
    const isAskedByBoth = async () => {
      const response = await fetch(`${service.url}/v1/events`, { method: 'POST', headers, body: '{"data":1}' })
      expect(response.status).toBe(202)
      return issuer.asked === 2
    }
    await until(isAskedByBoth, 10_000, 'both have asked for the keys')
  }, 60_000)
})

describe('refused with 401, and nothing is stored', () => {
  test.each<[string, RegExp, (issuer: Issuer) => Promise<string> | string]>([
    ['expired', /has expired: get a new one/, (issuer) => issuer.sign({ exp: NOW() - 60 })],
    ['not valid yet', /is not valid yet/, (issuer) => issuer.sign({ nbf: NOW() + 60 })],
    ['without an end', /needs a claim exp/, (issuer) => issuer.sign({ exp: undefined })],
    ['for another audience', /for another audience/, (issuer) => issuer.sign({ aud: 'other' })],
    ['for no audience', /for another audience/, (issuer) => issuer.sign({ aud: undefined })],
    ['of another issuer', /from another issuer/, (issuer) => issuer.sign({ iss: `${issuer.url}/` })],
    ['of no issuer', /from another issuer/, (issuer) => issuer.sign({ iss: undefined })],
    ['without a name', /needs a claim sub with a text/, (issuer) => issuer.sign({ sub: undefined })],
    ['with an empty name', /needs a claim sub/, (issuer) => issuer.sign({ sub: '' })],
    ['with a number as name', /needs a claim sub/, (issuer) => issuer.sign({ sub: 7 })],
    ['with a line feed in its name', /needs a claim sub/, (issuer) => issuer.sign({ sub: 'a\nb' })],
    ['with a name of 257 characters', /needs a claim sub/, (issuer) => issuer.sign({ sub: 'x'.repeat(257) })],
    ['signed by somebody else', /signature that does not fit/, signedByOther],
    [
      'with a kid that is not published',
      /key that its issuer does not publish/,
      (issuer) => issuer.sign({}, { kid: 'x' }),
    ],
    ['with alg none', /algorithm that is not accepted/, unsecured],
    ['HS256 with the public key as its secret', /algorithm that is not accepted/, confused],
    ['with a key of its own in the header', /signature that does not fit/, withOwnKey],
    ['with the address of its own keys in the header', /key that its issuer does not publish/, withOwnAddress],
    ['with something critical', /not a valid JWT/, (issuer) => withCritical(issuer)],
    ['with four parts', /Authorization: Bearer/, async (issuer) => `${await issuer.sign()}.x`],
    ['cut short', /signature that does not fit|not a valid JWT/, async (issuer) => (await issuer.sign()).slice(0, -20)],
    ['that is no JSON', /not a valid JWT/, () => 'aaaa.bbbb.cccc'],
    ['of more than 8,192 characters', /Authorization: Bearer/, (issuer) => issuer.sign({ pad: 'x'.repeat(8000) })],
  ])('%s', async (_, detail, make) => {
    const issuer = await Issuer.start()
    const http = await startHttp(issuer.variables)
    await expectRefused(http, await make(issuer), detail)
    expect((await send(http, await issuer.sign())).status).toBe(202)
  })

  test('without any: how to send one', async () => {
    const issuer = await Issuer.start()
    const http = await startHttp(issuer.variables)
    const response = await post(http, '{"data":1}')
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="millrace"'])
    expect(((await response.json()) as { detail: string }).detail).toMatch(/or a token of AUTH_ISSUER/)
  })

  test('no token, and nothing of it, is logged or repeated', async () => {
    const issuer = await Issuer.start()
    const http = await startHttp(issuer.variables)
    const tokens = [
      await issuer.sign({ sub: 'a-person' }),
      await issuer.sign({ sub: 'a-person', aud: 'secret-audience' }),
    ]
    const answers: string[] = []
    for (const token of tokens) answers.push(await (await send(http, token)).text())
    const all = [...http.logged, ...answers].join('')
    for (const token of tokens) for (const part of token.split('.').slice(1)) expect(all).not.toContain(part)
    expect(all).not.toMatch(/secret-audience|a-person/)
  })

  async function signedByOther(issuer: Issuer): Promise<string> {
    const key = await (await Issuer.start()).rotate()
    return new SignJWT(issuer.claims()).setProtectedHeader({ alg: 'ES256', kid: 'key-0' }).sign(key.privateKey)
  }
  function unsecured(issuer: Issuer): string {
    return new UnsecuredJWT(issuer.claims()).encode()
  }
  async function confused(issuer: Issuer): Promise<string> {
    const pem = await exportSPKI((await importJWK(issuer.published[0] ?? {}, 'ES256', { extractable: true })) as never)
    return new SignJWT(issuer.claims()).setProtectedHeader({ alg: 'HS256', kid: 'key-0' }).sign(Buffer.from(pem))
  }
  async function withOwnKey(issuer: Issuer): Promise<string> {
    const { privateKey, publicJwk } = await issuer.next()
    const header = { alg: 'ES256', kid: 'key-0', jwk: publicJwk }
    return new SignJWT(issuer.claims()).setProtectedHeader(header).sign(privateKey)
  }
  async function withOwnAddress(issuer: Issuer): Promise<string> {
    const other = await Issuer.start()
    const header = { alg: 'ES256', kid: 'x', jku: `${other.url}/jwks`, x5u: `${other.url}/x5u` }
    const token = await new SignJWT(issuer.claims()).setProtectedHeader(header).sign((await other.rotate()).privateKey)
    onTestFinished(() => expect(other.asked).toBe(0))
    return token
  }
  async function withCritical(issuer: Issuer): Promise<string> {
    const [, payload, signature] = (await issuer.sign()).split('.')
    const header = Buffer.from(JSON.stringify({ alg: 'ES256', kid: 'key-0', crit: ['x'], x: 1 })).toString('base64url')
    return [header, payload, signature].join('.')
  }
})

describe('AUTH_SCOPE_CLAIM', () => {
  const sends = async (claims: Record<string, unknown>, event: string) => {
    const issuer = await Issuer.start()
    const http = await startHttp({ ...issuer.variables, AUTH_SCOPE_CLAIM: 'scope' })
    const response = await send(http, await issuer.sign(claims), event)
    return [response.status, (await http.stored()).length]
  }
  const ORDER = '{"type":"order.a","source":"/shop/1","data":1}'

  test.each<[unknown, string, number]>([
    ['openid type=order.* source=/shop/*', ORDER, 202],
    [['openid', 'type=order.*'], ORDER, 202],
    ['type=*', '{"data":1}', 202],
    ['type=cart.*', ORDER, 403],
    ['type=order.* source=/bank', ORDER, 403],
    ['openid profile', ORDER, 403],
    ['', ORDER, 403],
    [undefined, ORDER, 403],
    [7, ORDER, 403],
    [{ type: 'order.*' }, ORDER, 403],
    [new Array(101).fill('type=order.a'), ORDER, 403],
  ])('%j, for %s: %i', async (scope, event, status) => {
    expect(await sends({ scope }, event)).toEqual([status, status === 202 ? 1 : 0])
  })

  test('without it, a token may send everything, whatever its claims', async () => {
    const issuer = await Issuer.start()
    const http = await startHttp(issuer.variables)
    expect((await send(http, await issuer.sign({ scope: 'type=cart.*' }), ORDER)).status).toBe(202)
  })
})

describe('keys of the issuer', () => {
  const tokensOf = (issuer: Issuer, limits = {}) => new Tokens(loadConfig(issuer.variables), silent, limits)
  const QUICK = { cooldownMs: 50, refreshAfterMs: 300, maxAgeMs: 1500 }
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

  test('a new key is found by the first token that names it, without an error; the old one is good while it is published', async () => {
    const issuer = await Issuer.start()
    const tokens = tokensOf(issuer, { ...QUICK, cooldownMs: 0 })
    const old = await issuer.sign()
    await tokens.verify(old)
    for (let round = 0; round < 5; round++) {
      issuer.published = [...issuer.published, (await issuer.rotate()).publicJwk]
      const fresh = await issuer.sign()
      await Promise.all([tokens.verify(fresh), tokens.verify(fresh), tokens.verify(old)])
    }
    expect(issuer.asked).toBeLessThanOrEqual(6 + 5)
    issuer.published = issuer.published.slice(-1)
    await tokens.verify(await issuer.sign())
    await until(
      () =>
        tokens.verify(old).then(
          () => false,
          () => true,
        ),
      5000,
      'the old key is gone',
    )
  })

  test('while requests are under way, keys are rotated five times and none of the requests fails', async () => {
    const issuer = await Issuer.start()
    const tokens = tokensOf(issuer, { cooldownMs: 0, refreshAfterMs: 20, maxAgeMs: 60_000 })
    let isOver = false
    let verified = 0
    const load = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        await tokens.verify(await issuer.sign())
        verified += 1
      }
    })
    for (let round = 0; round < 5; round++) {
      const before = verified
      await until(() => verified > before + 50, 10_000, 'tokens are verified')
      // As an issuer does it: published first, used then, and the old key is there for a while.
      const next = await issuer.next()
      issuer.published = [...issuer.published.slice(-1), next.publicJwk]
      issuer.use(next)
    }
    isOver = true
    await Promise.all(load)
    expect(verified).toBeGreaterThan(250)
  }, 60_000)

  test('invented kids make it ask no more often than the pause allows', async () => {
    const issuer = await Issuer.start()
    const tokens = tokensOf(issuer, { cooldownMs: 60_000 })
    await tokens.verify(await issuer.sign())
    for (let at = 0; at < 50; at++) {
      await expect(tokens.verify(await issuer.sign({}, { kid: `x${at}` }))).rejects.toMatchObject({
        code: 'UNAUTHORIZED',
      })
    }
    expect(issuer.asked).toBe(1)
  })

  test('an issuer that is away: known keys are used until they are too old, then 503, and then they are back', async () => {
    const issuer = await Issuer.start()
    const tokens = tokensOf(issuer, QUICK)
    const token = await issuer.sign()
    await tokens.verify(token)
    issuer.answer = (response) => response.writeHead(503).end()
    await sleep(500)
    await tokens.verify(token)
    await tokens.verify(token)
    await until(
      () =>
        tokens.verify(token).then(
          () => false,
          (error) => error.code === 'AUTH_UNAVAILABLE',
        ),
      10_000,
      'they are too old',
    )
    issuer.answer = undefined
    await until(
      () =>
        tokens.verify(token).then(
          () => true,
          () => false,
        ),
      10_000,
      'they are back',
    )
  })

  test.each<[string, Issuer['answer']]>([
    ['an error', (response) => response.writeHead(500).end()],
    ['no JSON', (response) => response.end('<html>')],
    ['null', (response) => response.end('null')],
    ['no keys', (response) => response.end('{"keys":[]}')],
    ['keys that are none', (response) => response.end('{"keys":[1,null]}')],
    ['a redirect', (response) => response.writeHead(302, { location: '/other' }).end()],
    ['2 MiB', (response) => response.end('x'.repeat(2 * 1024 * 1024))],
    ['too many keys', (response) => response.end(JSON.stringify({ keys: new Array(101).fill({ kty: 'EC' }) }))],
    ['a connection that breaks', (response) => response.destroy()],
  ])('an issuer that answers %s has none: 503 with Retry-After, and a line of the log', async (_, answer) => {
    const issuer = await Issuer.start()
    const http = await startHttp(issuer.variables)
    issuer.answer = answer
    const response = await send(http, await issuer.sign())
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
    expect(((await response.json()) as { type: string }).type).toBe('urn:millrace:problem:auth-unavailable')
    expect(http.logged.filter((line) => line.includes('AUTH_JWKS_URL: cannot fetch')).length).toBe(1)
    expect(http.counts.refusedRequestsTotal.get('auth_unavailable')).toBe(1)
  })

  test('a key that is no signature key, or a symmetric one, checks nothing', async () => {
    const issuer = await Issuer.start()
    const tokens = tokensOf(issuer)
    issuer.published = [
      { kty: 'oct', k: Buffer.from('secret'.repeat(8)).toString('base64url'), kid: 'key-0', alg: 'HS256' },
      { ...issuer.published[0], use: 'enc' } as never,
    ]
    await expect(tokens.verify(await issuer.sign())).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
    const hmac = new SignJWT(issuer.claims()).setProtectedHeader({ alg: 'HS256', kid: 'key-0' })
    const token = await hmac.sign(Buffer.from('secret'.repeat(8)))
    await expect(tokens.verify(token)).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  })
})

describe('fuzzed', () => {
  test('property: a token that was changed anywhere is refused with 401, and nothing else happens', async () => {
    const issuer = await Issuer.start()
    const tokens = new Tokens(loadConfig(issuer.variables), silent)
    const token = await issuer.sign()
    const bytesOf = (text: string) => text.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'))
    const change = fc.tuple(fc.nat(token.length - 1), fc.constantFrom(...'AZaz09-_.'), fc.nat(2))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        let changed = token
        for (const [at, character, cut] of changes) changed = changed.slice(0, at) + character + changed.slice(at + cut)
        // The last character of base64url has bits that mean nothing.
        if (String(bytesOf(changed)) === String(bytesOf(token))) return
        const error = await tokens.verify(changed).then(
          () => undefined,
          (reason) => reason,
        )
        expect(error, changed).toBeInstanceOf(MillraceError)
        expect(error.code).toBe('UNAUTHORIZED')
      }),
      { numRuns: 1500 },
    )
  })

  test('property: any header and any claims that nobody has signed are refused', async () => {
    const issuer = await Issuer.start()
    const tokens = new Tokens(loadConfig(issuer.variables), silent)
    const [, payload, signature] = (await issuer.sign()).split('.')
    const alg = fc.constantFrom(
      'none',
      'None',
      'HS256',
      'HS512',
      'ES256',
      'RS256',
      'PS256',
      'EdDSA',
      'dir',
      '',
      null,
      1,
    )
    const known = {
      alg,
      kid: fc.constantFrom('key-0', 'x', null, 7),
      typ: fc.jsonValue(),
      crit: fc.jsonValue(),
      jwk: fc.jsonValue(),
    }
    const header = fc.oneof(fc.record(known, { requiredKeys: [] }), fc.jsonValue())
    const part = (text: unknown) => Buffer.from(JSON.stringify(text) ?? '').toString('base64url')
    await fc.assert(
      fc.asyncProperty(
        header,
        fc.oneof(fc.constant(undefined), fc.jsonValue()),
        fc.boolean(),
        async (given, claims, keeps) => {
          const isIntact = claims === undefined && keeps && part(given) === part({ alg: 'ES256', kid: 'key-0' })
          if (isIntact) return
          const token = [part(given), claims === undefined ? payload : part(claims), keeps ? signature : ''].join('.')
          await expect(tokens.verify(token), token).rejects.toMatchObject({
            name: 'MillraceError',
            code: 'UNAUTHORIZED',
          })
        },
      ),
      { numRuns: 1500 },
    )
  })

  test('property: whatever a public key is taken for, it is no secret', async () => {
    const algorithm = fc.constantFrom('HS256', 'HS384', 'HS512', 'RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'none')
    for (const published of ['ES256', 'RS256', 'Ed25519']) {
      const issuer = await Issuer.start(published)
      const tokens = new Tokens(loadConfig(issuer.variables), silent)
      await tokens.verify(await issuer.sign())
      const jwk = issuer.published[0] as JWK
      const key = createPublicKey({ key: jwk as never, format: 'jwk' })
      const pem = key.export({ type: 'spki', format: 'pem' }).toString()
      const secrets = [
        ...[pem, pem.trimEnd(), JSON.stringify(jwk), JSON.stringify({ keys: [jwk] })].map((text) => Buffer.from(text)),
        key.export({ type: 'spki', format: 'der' }),
        Buffer.from(jwk.n ?? jwk.x ?? '', 'base64url'),
        Buffer.from(jwk.n ?? jwk.x ?? ''),
        Buffer.alloc(0),
      ]
      await fc.assert(
        fc.asyncProperty(
          algorithm,
          fc.constantFrom(...secrets),
          fc.constantFrom('sha256', 'sha384', 'sha512'),
          fc.constantFrom(jwk.kid, undefined),
          async (alg, secret, digest, kid) => {
            const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
            const text = `${part({ alg, kid })}.${part(issuer.claims())}`
            const signature = createHmac(digest, secret).update(text).digest('base64url')
            await expect(tokens.verify(`${text}.${signature}`)).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
          },
        ),
        { numRuns: 300 },
      )
    }
  })

  test('property: a signed token is taken if, and only if, its issuer, audience and times fit', async () => {
    const issuer = await Issuer.start()
    const tokens = new Tokens(loadConfig(issuer.variables), silent)
    const texts = (good: string) => fc.constantFrom(good, `${good}/`, good.toUpperCase(), '', '*', null, 7, undefined)
    // No time is near the tolerance of 5 s: the test may take a while.
    const seconds = fc.constantFrom(-1e9, -3600, -60, 60, 3600, 1e9)
    await fc.assert(
      fc.asyncProperty(
        texts(issuer.url),
        fc.oneof(texts(AUDIENCE), fc.array(texts(AUDIENCE), { maxLength: 3 })),
        fc.option(seconds, { nil: undefined }),
        fc.option(seconds, { nil: undefined }),
        async (iss, aud, endsIn, beginsIn) => {
          const now = NOW()
          const exp = endsIn === undefined ? undefined : now + endsIn
          const nbf = beginsIn === undefined ? undefined : now + beginsIn
          const token = await issuer.sign({ iss, aud, exp, nbf })
          const isFor = Array.isArray(aud) ? aud.includes(AUDIENCE) : aud === AUDIENCE
          const fits = iss === issuer.url && isFor && (endsIn ?? -1) > 0 && (beginsIn ?? -1) < 0
          const outcome = await tokens.verify(token).then(
            () => 'taken',
            ({ code }) => code,
          )
          expect(outcome, JSON.stringify({ iss, aud, endsIn, beginsIn })).toBe(fits ? 'taken' : 'UNAUTHORIZED')
        },
      ),
      { numRuns: 600, examples: [[issuer.url, AUDIENCE, 60, undefined]] },
    )
  })

  test('property: any text as a bearer is answered with 401', async () => {
    const issuer = await Issuer.start()
    const http = await startHttp({ ...issuer.variables, API_KEYS: 'shop:0123456789abcdef' })
    const character = fc.constantFrom(...'abcXYZ019-_.=~+/ "\\')
    const text = fc.oneof(
      fc.string({ unit: character, maxLength: 60 }),
      fc.stringMatching(/^[\w-]{0,9}\.[\w-]{0,9}\.[\w-]{0,9}$/),
    )
    await fc.assert(
      fc.asyncProperty(text, async (given) => {
        expect((await send(http, given)).status).toBe(401)
      }),
      { numRuns: 200 },
    )
    expect(await http.stored()).toEqual([])
  })
})

test.each([
  [{ AUTH_JWKS_URL: 'http://issuer.example/jwks' }, /^AUTH_JWKS_URL: it must begin with https:\/\//],
  [{ AUTH_JWKS_URL: 'file:///etc/passwd' }, /^AUTH_JWKS_URL: it must begin with https:\/\//],
  [{ AUTH_JWKS_URL: 'https://me:secret@issuer.example/' }, /^AUTH_JWKS_URL: it holds a user or a password/],
  [{ AUTH_JWKS_URL: 'https://issuer.example/' }, /^AUTH_ISSUER: AUTH_JWKS_URL needs it/],
  [{ AUTH_JWKS_URL: 'http://[::1]:1/', AUTH_ISSUER: 'x' }, /^AUTH_AUDIENCE: AUTH_JWKS_URL needs it/],
])('%j ends the start: %s', (environment, message) => {
  expect(() => loadConfig(environment)).toThrow(message)
  expect(() => loadConfig(environment)).not.toThrow(/secret@/)
})

test('with an issuer, others than this machine may send without API keys being set', () => {
  const issuer = { AUTH_JWKS_URL: 'https://issuer.example/jwks', AUTH_ISSUER: 'x', AUTH_AUDIENCE: 'y' }
  expect(loadConfig({ HOST: '0.0.0.0', ...issuer }).HOST).toBe('0.0.0.0')
})
