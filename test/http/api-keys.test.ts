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
      /^API_KEYS: entry 2: behind the key stand at most 100 words, each type=PATTERN or source=PATTERN$/,
    )
  },
)

test('a comma is no way to write two patterns: it is one that matches nothing else', () => {
  expect(readKeys([`shop:${KEY} type=a,b`], '').get('shop')?.scope?.types).toEqual(['a,b'])
})
