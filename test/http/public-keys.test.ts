/** Keys that stand in pages: what a browser asks and sends, through the real listener. */
import { expect, test } from 'vitest'
import { post, startHttp } from '../support/http.ts'

const SECRET = 'a-key-of-16-letters'
const PUBLIC = 'pk_a-key-that-is-public'
const PAGE = 'https://shop.example'
const API_KEYS = `me:${SECRET},page:${PUBLIC} type=page.* origin=${PAGE} origin=http://localhost:8080 rate=10,other:pk_of-another-page-yet type=* origin=https://other.example rate=10`
const VIEW = '{"id":"1","type":"page.viewed","data":1}'
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

const start = (environment: Record<string, string> = {}) => startHttp({ API_KEYS, ...environment })
const beacon = (url: string, key: string, body: string, headers: Record<string, string> = { origin: PAGE }) =>
  fetch(`${url}/v1/events?key=${key}`, { method: 'POST', headers: { 'content-type': 'text/plain', ...headers }, body })

test('a preflight is answered for the origins of public keys, kept by the browser, and without credentials', async () => {
  const { url } = await start()
  const ask = (headers: Record<string, string>) => fetch(`${url}/v1/events`, { method: 'OPTIONS', headers })
  const method = { 'access-control-request-method': 'POST' }
  for (const origin of [PAGE, 'http://localhost:8080', 'https://other.example']) {
    const { status, headers } = await ask({ origin, ...method })
    expect([status, headers.get('access-control-allow-origin'), headers.get('vary')]).toEqual([204, origin, 'Origin'])
    expect(headers.get('access-control-allow-methods')).toBe('POST')
    expect(headers.get('access-control-allow-headers')).toMatch(/^authorization, content-encoding, content-type, \*$/)
    expect(headers.get('access-control-max-age')).toBe('7200')
    expect(headers.has('access-control-allow-credentials')).toBe(false)
  }
  for (const origin of ['https://evil.example', 'null', `${PAGE}.evil.example`, 'http://shop.example']) {
    const { status, headers } = await ask({ origin, ...method })
    expect([status, headers.get('access-control-allow-origin'), headers.get('allow')]).toEqual([
      204,
      null,
      'OPTIONS, POST',
    ])
  }
})

test('a public key sends from its origins only, and the page may read the answer', async () => {
  const http = await start()
  const send = (origin: Record<string, string>) => post(http, VIEW, { ...bearer(PUBLIC), ...origin })
  const good = await send({ origin: PAGE })
  expect([good.status, good.headers.get('access-control-allow-origin')]).toEqual([202, PAGE])
  for (const origin of [{}, { origin: 'https://other.example' }, { origin: 'https://evil.example' }]) {
    const refused = await send(origin as Record<string, string>)
    expect([refused.status, ((await refused.json()) as { type: string }).type]).toEqual([
      403,
      'urn:millrace:problem:forbidden',
    ])
  }
  expect(await http.stored()).toHaveLength(1)
})

test('a page can read that its key is not good', async () => {
  const http = await start()
  const { status, headers } = await post(http, VIEW, { ...bearer('pk_not-a-key-at-all-no'), origin: PAGE })
  expect([status, headers.get('access-control-allow-origin')]).toEqual([401, PAGE])
})

test('it sends only its types, and no more than its rate with a burst of ten seconds', async () => {
  const http = await start()
  const headers = { ...bearer(PUBLIC), origin: PAGE }
  expect((await post(http, '{"type":"order.paid","data":1}', headers)).status).toBe(403)
  const lines = (count: number) => `${VIEW}\n`.repeat(count)
  const ndjson = { ...headers, 'content-type': 'application/x-ndjson' }
  expect((await post(http, lines(101), ndjson)).status).toBe(413)
  expect((await post(http, lines(100), ndjson)).status).toBe(202)
  expect((await post(http, lines(90), ndjson)).status).toBe(429)
  expect((await post(http, lines(200), { ...bearer(SECRET), 'content-type': 'application/x-ndjson' })).status).toBe(202)
  expect(await http.stored()).toHaveLength(300)
})

test('of its rate and QUOTA_EVENTS_PER_SECOND the lower one counts', async () => {
  const http = await start({ QUOTA_EVENTS_PER_SECOND: '1' })
  const headers = { ...bearer(PUBLIC), origin: PAGE, 'content-type': 'application/x-ndjson' }
  expect((await post(http, `${VIEW}\n`.repeat(11), headers)).status).toBe(413)
  expect((await post(http, `${VIEW}\n`.repeat(10), headers)).status).toBe(202)
})

test('the key may stand in the address, and the body be text: one event, lines, or an array', async () => {
  const http = await start()
  for (const body of [VIEW, `${VIEW}\n${VIEW}\n`, `[${VIEW},${VIEW}]`]) {
    expect((await beacon(http.url, PUBLIC, body)).status, body).toBe(202)
  }
  expect(await http.stored()).toHaveLength(5)
  expect((await beacon(http.url, PUBLIC, 'text')).status).toBe(400)
})

test('a secret key may not stand in the address, nor may its client send text', async () => {
  const http = await start()
  expect((await beacon(http.url, SECRET, VIEW)).status).toBe(401)
  expect((await beacon(http.url, `${PUBLIC}x`, VIEW)).status).toBe(401)
  expect((await beacon(http.url, `${PUBLIC}&key=${PUBLIC}`, VIEW)).status).toBe(401)
  expect((await beacon(http.url, PUBLIC, VIEW, {})).status).toBe(403)
  const text = await post(http, VIEW, { ...bearer(SECRET), 'content-type': 'text/plain' })
  expect(text.status).toBe(415)
  expect(await http.stored()).toEqual([])
})

test('the key of a header counts before one in the address', async () => {
  const http = await start()
  const headers = { ...bearer('not-a-key-at-all'), origin: PAGE }
  expect((await beacon(http.url, PUBLIC, VIEW, headers)).status).toBe(401)
})

test('a secret key is not changed by an Origin header, and its pages cannot read the answer', async () => {
  const http = await start()
  const answer = await post(http, '{"data":1}', { ...bearer(SECRET), origin: 'https://evil.example' })
  expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([202, null])
})

test('keys in addresses are not logged', async () => {
  const http = await start()
  await beacon(http.url, PUBLIC, VIEW)
  await beacon(http.url, PUBLIC, 'text')
  await beacon(http.url, `${PUBLIC}x`, VIEW)
  expect(http.logged.join('\n')).not.toContain('pk_')
})
