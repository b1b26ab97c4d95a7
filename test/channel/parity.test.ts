/** Parity with Tokio's mpsc is a promise: docs/channel.md, the code and the tests of the channel say the same. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Permit } from '../../app/channel/permit.ts'
import { Receiver } from '../../app/channel/receiver.ts'
import { Sender, WeakSender } from '../../app/channel/sender.ts'

const page = readFileSync(new URL('../../docs/channel.md', import.meta.url), 'utf8')
const tests = readFileSync(new URL('./channel.test.ts', import.meta.url), 'utf8')
const promised = [...page.matchAll(/`((?:WeakSender|Sender|Receiver|Permit)(?:\.|\[)[\w.]+\]?)`/g)].map(
  ([, name = '']) => name,
)

/** What a class has beside its constructor; `using` is not a name of its own. */
function membersOf({ name, prototype }: { readonly name: string; readonly prototype: object }): string[] {
  return Reflect.ownKeys(prototype)
    .filter((key) => key !== 'constructor' && key !== Symbol.dispose)
    .map((key) => (typeof key === 'symbol' ? `${name}[${key.description}]` : `${name}.${key}`))
}

test('the page has every member of the channel, and no other', () => {
  expect([...new Set(promised)].sort()).toEqual([Sender, WeakSender, Receiver, Permit].flatMap(membersOf).sort())
})

test.each(promised)('%s is used by a test of the channel', (name) => {
  const member = name.split('.').at(-1) ?? ''
  expect(tests).toMatch(name.endsWith(']') ? /for await/ : new RegExp(`\\.${member}\\b`))
})
