import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readKeys } from '../../app/http/api-keys.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const KEY = '0123456789abcdef'

function fileOf(text: string): string {
  const path = join(temporaryDirectory(), 'keys')
  writeFileSync(path, text)
  return path
}

test('a key may have a scope behind it, in a file and in the environment', () => {
  const scope = { types: ['order.*', 'cart.*'], sources: ['/shop/*'] }
  const entry = `shop:${KEY} type=order.*   type=cart.* source=/shop/*`
  const hashed = `shop:sha256:${hash('sha256', KEY)} type=order.* type=cart.* source=/shop/*`
  const path = fileOf(`# tills\r\n\n  ${entry.replaceAll(' ', '\t')}  \r\nfree:fedcba9876543210\n`)
  const wanted = { sha256: hash('sha256', KEY), scope }
  expect(readKeys([entry], '').get('shop')).toEqual(wanted)
  expect(readKeys([hashed], '').get('shop')).toEqual(wanted)
  expect(readKeys([], path).get('shop')).toEqual(wanted)
  expect(readKeys([], path).get('free')?.scope).toBeUndefined()
})

test.each(['type=', 'subject=x', 'order.*', 'type=é', `${'type=a '.repeat(101)}`])(
  'the scope %j is refused, without the key',
  (words) => {
    const read = () => readKeys([`free:fedcba9876543210`, `shop:${KEY} ${words}`], '')
    expect(read).toThrow(
      /^API_KEYS: entry 2: after the key, at most 100 words are allowed, each type=PATTERN or source=PATTERN$/,
    )
  },
)

test('a comma is no way to write two patterns: it is one that matches nothing else', () => {
  expect(readKeys([`shop:${KEY} type=a,b`], '').get('shop')?.scope?.types).toEqual(['a,b'])
})

test('a public key has origins and a rate behind it, beside the types that it may send', () => {
  const entry = 'page:pk_0123456789abcdef origin=https://shop.example rate=50 type=page.* origin=http://localhost:8080'
  expect(readKeys([entry], '').get('page')).toEqual({
    sha256: hash('sha256', 'pk_0123456789abcdef'),
    scope: { types: ['page.*'], sources: [] },
    publicKey: { origins: ['https://shop.example', 'http://localhost:8080'], eventsPerSecond: 50 },
  })
})

test.each([
  ['type=a rate=1', /say with origin=https:\/\/HOST in which pages it may be used$/],
  ['type=a rate=1 origin=*', /say with origin=/],
  ['type=a rate=1 origin=https://shop.example/', /say with origin=/],
  ['type=a rate=1 origin=https://Shop.example', /say with origin=/],
  ['type=a rate=1 origin=https://shop.example:443', /say with origin=/],
  ['type=a rate=1 origin=file://', /say with origin=/],
  ['type=a origin=https://a.example', /say with rate=N how many events a second, 1 to 1000000$/],
  ['type=a origin=https://a.example rate=0', /say with rate=N/],
  ['type=a origin=https://a.example rate=1000001', /say with rate=N/],
  ['type=a origin=https://a.example rate=1 rate=2', /say with rate=N/],
  ['origin=https://a.example rate=1', /say with type=PATTERN which events it may send$/],
])('a public key with %s is refused, without the key', (words, message) => {
  const read = () => readKeys([`page:pk_0123456789abcdef ${words}`], '')
  expect(read).toThrow(message)
  expect(read).not.toThrow('pk_0123')
})

test('origins and rates are for public keys only', () => {
  expect(() => readKeys([`shop:${KEY} origin=https://a.example`], '')).toThrow('each type=PATTERN or source=PATTERN')
})
