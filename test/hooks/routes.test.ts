/**
 * Webhooks through the real listener, channel, group commit and log, signed by what the providers publish: their own
 * libraries, or the example of their documentation.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { sign as signGithub } from '@octokit/webhooks-methods'
import { Webhook } from 'standardwebhooks'
import Stripe from 'stripe'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Hook } from '../../app/hooks/hook.ts'
import { openHooks } from '../../app/hooks/secrets.ts'
import { type Harness, raw, startHttp } from '../support/http.ts'

type Headers = Record<string, string>

interface Signer {
  readonly hook: Omit<Hook, 'secretVariables'>
  readonly secrets: readonly [string, string]
  readonly body: string
  /** As the provider signs at that time. */
  sign(body: string, secret: string, atMs: number): Headers | Promise<Headers>
  /** What has to be there. */
  readonly needed: readonly string[]
  readonly hasWindow: boolean
  /** What is stored, beside `data`. */
  readonly event: Readonly<Record<string, string>>
}

const openssl = (secret: string, text: string, ...format: string[]) =>
  execFileSync('openssl', ['dgst', '-sha256', '-hmac', secret, ...format], { input: text })
const hexOf = (secret: string, text: string) => openssl(secret, text, '-r').toString().split(' ')[0] ?? ''
const base64Of = (secret: string, text: string) => openssl(secret, text, '-binary').toString('base64')
const secondsOf = (ms: number) => String(Math.floor(ms / 1000))
const whsec = (letter: string) => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`
const stripe = new Stripe('sk_test_no_request_is_made')

const SIGNERS: Readonly<Record<string, Signer>> = {
  github: {
    hook: { provider: 'github', extensions: { githubhookid: 'X-GitHub-Hook-ID' } } as Hook,
    secrets: ['the-first-secret-of-github', 'the-second-secret-of-github'],
    body: '{"ref":"refs/heads/main", "big":12345678901234567890, "a":1.0}',
    sign: async (body, secret) => ({
      'x-hub-signature-256': await signGithub(secret, body),
      'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      'x-github-event': 'push',
      'x-github-hook-id': '292430182',
    }),
    needed: ['x-hub-signature-256'],
    hasWindow: false,
    event: { id: '72d3162e-cc78-11e3-81ab-4c9367dc0958', type: 'github.push', githubhookid: '292430182' },
  },
  stripe: {
    hook: { provider: 'stripe' } as Hook,
    secrets: ['whsec_the_first_secret_of_stripe', 'whsec_the_second_secret_of_stripe'],
    body: '{"id":"evt_1","object":"event","type":"invoice.paid"}',
    sign: (payload, secret, atMs) => ({
      'stripe-signature': stripe.webhooks.generateTestHeaderString({
        payload,
        secret,
        timestamp: Math.floor(atMs / 1000),
      }),
    }),
    needed: ['stripe-signature'],
    hasWindow: true,
    event: { id: 'evt_1', type: 'stripe.invoice.paid' },
  },
  'standard-webhooks': {
    hook: { provider: 'standard-webhooks' } as Hook,
    secrets: [whsec('a'), whsec('b')],
    body: '{"type":"contact.created","data":{"id":1}}',
    sign: (body, secret, atMs) => ({
      'webhook-id': 'msg_1',
      'webhook-timestamp': secondsOf(atMs),
      'webhook-signature': new Webhook(secret).sign('msg_1', new Date(atMs), body),
    }),
    needed: ['webhook-id', 'webhook-timestamp', 'webhook-signature'],
    hasWindow: true,
    event: { id: 'msg_1', type: 'it.contact.created' },
  },
  slack: {
    hook: { provider: 'slack' } as Hook,
    secrets: ['8f742231b10e8888abcd99yyyzzz85a5', 'the-second-secret-of-slack'],
    body: '{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention"}}',
    sign: (body, secret, atMs) => ({
      'x-slack-request-timestamp': secondsOf(atMs),
      'x-slack-signature': `v0=${hexOf(secret, `v0:${secondsOf(atMs)}:${body}`)}`,
    }),
    needed: ['x-slack-request-timestamp', 'x-slack-signature'],
    hasWindow: true,
    event: { id: 'Ev1', type: 'slack.app_mention' },
  },
  shopify: {
    hook: { provider: 'shopify' } as Hook,
    secrets: ['the-first-secret-of-shopify', 'the-second-secret-of-shopify'],
    body: '{"id":820982911946154508,"total_price":"403.00"}',
    sign: (body, secret) => ({
      'x-shopify-hmac-sha256': base64Of(secret, body),
      'x-shopify-webhook-id': 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043',
      'x-shopify-topic': 'orders/create',
    }),
    needed: ['x-shopify-hmac-sha256'],
    hasWindow: false,
    event: { id: 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043', type: 'shopify.orders/create' },
  },
  hmac: {
    hook: {
      provider: 'hmac',
      signature: {
        ...{ header: 'X-Signature', prefix: 'sig=', encoding: 'base64', signed: '{id}|{timestamp}|{body}' },
        timestamp: { header: 'X-Time', unit: 'ms' },
      },
      id: { header: 'X-Id' },
      type: { member: 'kind' },
    } as Hook,
    secrets: ['the-first-secret-of-anyone', 'the-second-secret-of-anyone'],
    body: '{"kind":"moved"}',
    sign: (body, secret, atMs) => ({
      'x-id': '17',
      'x-time': String(atMs),
      'x-signature': `sig=${base64Of(secret, `17|${atMs}|${body}`)}`,
    }),
    needed: ['x-id', 'x-time', 'x-signature'],
    hasWindow: true,
    event: { id: '17', type: 'it.moved' },
  },
}

async function startHook({ hook, secrets }: Signer, more: Partial<Hook> = {}, environment: Headers = {}) {
  const declared = { ...hook, secretVariables: ['FIRST', 'SECOND'], ...more } as Hook
  const [FIRST, SECOND] = secrets
  const hooks = openHooks('config', { it: declared }, { FIRST, SECOND })
  return startHttp({ API_KEYS: 'me:a-key-of-16-letters', ...environment }, undefined, hooks)
}

function send({ url }: Harness, body: string | Buffer, headers: Headers, path = '/v1/hooks/it'): Promise<Response> {
  const init = { 'content-type': 'application/json', ...headers }
  return fetch(`${url}${path}`, { method: 'POST', headers: init, body: body as string })
}

async function expectRefused(http: Harness, response: Response, status = 401, code = 'signature-invalid') {
  const problem = (await response.json()) as { type: string; detail: string }
  expect([response.status, problem.type], problem.detail).toEqual([status, `urn:millrace:problem:${code}`])
  if (status === 401) expect(response.headers.get('www-authenticate')).toMatch(/^HMAC realm="hooks\/it", header="/)
  expect(await http.stored()).toEqual([])
  return problem.detail
}

describe.each(Object.entries(SIGNERS))('%s', (_name, signer) => {
  const { body, secrets, sign, event, needed } = signer
  const [first, second] = secrets

  test('what it signed is durable when it is answered 202, with the bytes of the body as data', async () => {
    const http = await startHook(signer)
    const response = await send(http, body, await sign(body, first, Date.now()))
    expect([response.status, await response.text()]).toEqual([202, '{"accepted":1}'])
    expect(response.headers.has('www-authenticate')).toBe(false)
    const [line = '', ...others] = await http.stored()
    expect(others).toEqual([])
    expect(line.endsWith(`"data":${body}}`)).toBe(true)
    expect(JSON.parse(line)).toMatchObject({
      ...{ specversion: '1.0', source: '/hooks/it', datacontenttype: 'application/json', ...event },
      time: expect.stringMatching(/^\d{4}-.*Z$/),
    })
    expect(http.counts.hookRequestsTotal(0, 'stored')).toBe(1)
  })

  test('the second secret is good, too', async () => {
    const http = await startHook(signer)
    expect((await send(http, body, await sign(body, second, Date.now()))).status).toBe(202)
    expect(await http.stored()).toHaveLength(1)
  })

  test('another secret is refused', async () => {
    const http = await startHook(signer)
    const other = first.startsWith('whsec_') ? whsec('c') : `${first}.`
    await expectRefused(http, await send(http, body, await sign(body, other, Date.now())))
    expect(http.counts.hookRequestsTotal(0, 'unverified')).toBe(1)
  })

  test('a changed byte is refused', async () => {
    const http = await startHook(signer)
    await expectRefused(http, await send(http, body.replace('{', '{ '), await sign(body, first, Date.now())))
  })

  test.each(needed)('without %s it is refused', async (header) => {
    const http = await startHook(signer)
    const { [header]: _left, ...headers } = await sign(body, first, Date.now())
    expect(await expectRefused(http, await send(http, body, headers))).toContain(header)
  })

  test('a delivery that is sent again is taken, and stored once', async () => {
    const http = await startHook(signer, {}, { DEDUPLICATION_WINDOW_EVENTS: '100' })
    const headers = await sign(body, first, Date.now())
    const answers = [await send(http, body, headers), await send(http, body, headers)]
    expect(await Promise.all(answers.map((one) => one.text()))).toEqual([
      '{"accepted":1}',
      '{"accepted":1,"duplicates":1}',
    ])
    expect(await http.stored()).toHaveLength(1)
  })

  test.runIf(signer.hasWindow)('outside of the window around now it is refused, inside of it taken', async () => {
    const http = await startHook(signer, { toleranceSeconds: 100 })
    for (const apartMs of [-110_000, 110_000]) {
      const headers = await sign(body, first, Date.now() + apartMs)
      expect(await expectRefused(http, await send(http, body, headers))).toMatch(/1\d\d s from the clock here/)
    }
    expect((await send(http, body, await sign(body, first, Date.now() - 90_000))).status).toBe(202)
  })

  test('an API key is no signature, and a signature is no API key', async () => {
    const http = await startHook(signer)
    await expectRefused(http, await send(http, body, { authorization: 'Bearer a-key-of-16-letters' }))
    const headers = await sign(body, first, Date.now())
    const answer = await send(http, body, headers, '/v1/events')
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="millrace"'])
    expect(await http.stored()).toEqual([])
  })
})

describe('a body', () => {
  const { github } = SIGNERS as { github: Signer }
  const { secrets, sign } = github
  const sendSigned = async (http: Harness, body: Buffer, headers: Headers = {}) =>
    send(http, body, { ...(await sign(body.toString('latin1'), secrets[0], 0)), ...headers })

  test.each([
    ['no JSON', 'payload=%7B%7D', 'application/x-www-form-urlencoded'],
    ['JSON that is cut short', '{"a":', 'application/json'],
  ])('that is %s is kept as bytes', async (_name, text, type) => {
    const http = await startHook(github)
    expect((await sendSigned(http, Buffer.from(text), { 'content-type': type })).status).toBe(202)
    const [line = ''] = await http.stored()
    expect(JSON.parse(line)).toMatchObject({ data_base64: Buffer.from(text).toString('base64'), datacontenttype: type })
  })

  test('with a content coding is verified as it was sent, and stored inflated', async () => {
    const http = await startHook(github)
    const coded = gzipSync('{"a":1}')
    const signature = execFileSync('openssl', ['dgst', '-sha256', '-hmac', secrets[0], '-r'], { input: coded })
    const headers = {
      ...(await sign('{}', secrets[0], 0)),
      'x-hub-signature-256': `sha256=${signature.toString().split(' ')[0]}`,
      'content-encoding': 'gzip',
    }
    expect((await send(http, coded, headers)).status).toBe(202)
    expect((await http.stored())[0]).toContain('"data":{"a":1}}')
  })

  test('of nobody is not inflated: a bomb without a signature is refused for that', async () => {
    const http = await startHook(github)
    const bomb = gzipSync(Buffer.alloc(4_000_000))
    const headers = { ...(await sign('{}', secrets[0], 0)), 'content-encoding': 'gzip' }
    await expectRefused(http, await send(http, bomb, headers))
  })

  test('that is empty is refused, although it is signed', async () => {
    const http = await startHook(github)
    const headers = { 'x-hub-signature-256': `sha256=${hexOf(secrets[0], '')}` }
    await expectRefused(http, await send(http, '', headers), 400, 'malformed')
  })

  test('over MAX_BODY_BYTES is refused before it is read', async () => {
    const http = await startHook(github, {}, { MAX_BODY_BYTES: '1024' })
    const head = 'POST /v1/hooks/it HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000\r\n\r\n'
    expect(await raw(http, head)).toMatch(/^HTTP\/1.1 413 /)
    expect(http.counts.hookRequestsTotal(0, 'refused')).toBe(1)
  })

  test('whose id cannot be an attribute is refused with the reason', async () => {
    const http = await startHook(github)
    const response = await sendSigned(http, Buffer.from('{}'), { 'x-github-delivery': 'x'.repeat(2000) })
    expect(await expectRefused(http, response, 422, 'no-valid-event')).toMatch(/^event 0: id has 2000 characters/)
  })

  test('of hooks takes no room of clients with keys', async () => {
    const http = await startHook(github, {}, { MAX_BODY_BYTES: '1024', IN_PROGRESS_MAX_BYTES: '4096' })
    const head = 'POST /v1/hooks/it HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1024\r\n\r\n'
    void raw(http, head)
    await expect.poll(() => raw(http, head, { end: true }).then((answer) => answer.slice(0, 12))).toBe('HTTP/1.1 503')
    const headers = { authorization: 'Bearer a-key-of-16-letters' }
    expect((await send(http, '{"data":1}', headers, '/v1/events')).status).toBe(202)
  })
})

describe('a challenge', () => {
  const { slack, github } = SIGNERS as { slack: Signer; github: Signer }
  const body = '{"token":"t","challenge":"3eZbrw1aB10FEMAGAZd4FyFQ","type":"url_verification"}'

  test('of Slack is answered to who has signed it, and not stored', async () => {
    const http = await startHook(slack)
    const response = await send(http, body, await slack.sign(body, slack.secrets[0], Date.now()))
    expect([response.status, await response.text()]).toEqual([200, '3eZbrw1aB10FEMAGAZd4FyFQ'])
    expect(http.counts.hookRequestsTotal(0, 'challenged')).toBe(1)
    await expectRefused(http, await send(http, body, await slack.sign(body, 'another-secret-of-slack', Date.now())))
  })

  test('of a CloudEvents sender is answered for the origins that are declared', async () => {
    const http = await startHook(github, { allowedOrigins: ['Events.example'] })
    const ask = (headers: Headers) => fetch(`${http.url}/v1/hooks/it`, { method: 'OPTIONS', headers })
    const good = await ask({ 'webhook-request-origin': 'events.example', 'webhook-request-rate': '120' })
    expect([good.status, good.headers.get('webhook-allowed-origin'), good.headers.get('webhook-allowed-rate')]).toEqual(
      [200, 'events.example', '*'],
    )
    const other = await ask({ 'webhook-request-origin': 'evil.example' })
    expect([other.status, other.headers.get('webhook-allowed-origin')]).toEqual([403, null])
    const none = await ask({})
    expect([none.status, none.headers.get('allow')]).toEqual([204, 'OPTIONS, POST'])
  })

  test('calls no address that a sender names', async () => {
    const http = await startHook(github, { allowedOrigins: ['*'] })
    let calls = 0
    const callback = createServer((_request, response) => {
      calls += 1
      response.end()
    }).listen(0, '127.0.0.1')
    onTestFinished(() => void callback.close())
    await once(callback, 'listening')
    const address = `http://127.0.0.1:${(callback.address() as AddressInfo).port}/`
    const headers = { 'webhook-request-origin': 'events.example', 'webhook-request-callback': address }
    expect((await fetch(`${http.url}/v1/hooks/it`, { method: 'OPTIONS', headers })).status).toBe(200)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(calls).toBe(0)
    expect((await fetch(address)).status).toBe(200) // it could have been called
  })

  test('is told the quota as the rate, requests a minute', async () => {
    const http = await startHook(github, { allowedOrigins: ['*'] }, { QUOTA_EVENTS_PER_SECOND: '2' })
    const headers = { 'webhook-request-origin': 'events.example' }
    const answer = await fetch(`${http.url}/v1/hooks/it`, { method: 'OPTIONS', headers })
    expect(answer.headers.get('webhook-allowed-rate')).toBe('120')
  })
})

test('a hook that is not declared is not found, and another method is not allowed', async () => {
  const http = await startHook(SIGNERS.github as Signer)
  expect((await send(http, '{}', {}, '/v1/hooks/other')).status).toBe(404)
  const get = await fetch(`${http.url}/v1/hooks/it`)
  expect([get.status, get.headers.get('allow')]).toEqual([405, 'OPTIONS, POST'])
})

test('with STAMP_CLIENT the event says which hook it came by', async () => {
  const signer = SIGNERS.github as Signer
  const http = await startHook(signer, {}, { STAMP_CLIENT: 'authid' })
  await send(http, '{}', await signer.sign('{}', signer.secrets[0], 0))
  expect(JSON.parse((await http.stored())[0] ?? '')).toMatchObject({ authtype: 'service_account', authid: 'hook:it' })
})

test('with STAMP_SENDER the event says where the request came from', async () => {
  const signer = SIGNERS.github as Signer
  const http = await startHook(signer, {}, { STAMP_SENDER: 'address,useragent' })
  await send(http, '{}', { ...(await signer.sign('{}', signer.secrets[0], 0)), 'user-agent': 'GitHub-Hookshot/1' })
  expect(JSON.parse((await http.stored())[0] ?? '')).toMatchObject({
    clientaddress: '127.0.0.1',
    useragent: 'GitHub-Hookshot/1',
  })
})

test('neither secrets nor bodies are logged', async () => {
  const signer = SIGNERS.github as Signer
  const http = await startHook(signer)
  await send(http, '{"private":1}', await signer.sign('{"private":1}', signer.secrets[0], 0))
  await send(http, '{"private":2}', await signer.sign('{"private":1}', signer.secrets[0], 0))
  expect(http.logged.join('\n')).not.toMatch(/private|secret-of-github|sha256=/)
})
