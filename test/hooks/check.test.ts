import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { configFileOf } from '../../app/config-file/load.ts'
import { openHooks } from '../../app/hooks/secrets.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const GITHUB = { provider: 'github', secretVariables: ['S'] }
const HMAC = { provider: 'hmac', secretVariables: ['S'], signature: { header: 'x-sig' } }
const withSignature = (more: object) => ({ it: { ...HMAC, signature: { header: 'x-sig', ...more } } })

describe('a start ends with a line that names the place for', () => {
  test.each<[string, unknown, string]>([
    ['hooks that are no object', [], "hooks is an array, not an object such as { github: { provider: 'github', … } }"],
    ['a name that no path can have', { 'Git Hub': GITHUB }, 'hooks: "Git Hub" is not a name, which has 1 to 64'],
    ['no provider', { it: {} }, 'hooks.it.provider is missing: it must be one of github, shopify, slack,'],
    ['another provider', { it: { provider: 'gitlab' } }, 'hooks.it.provider must be one of github,'],
    ['no secret', { it: { provider: 'github' } }, 'hooks.it: name the variable of its secret in secretVariables'],
    ['an option that is misspelt', { it: { ...GITHUB, secretVariable: ['S'] } }, 'did you mean secretVariables?'],
    ['a secret in the file', { it: { ...GITHUB, secretVariables: ['a secret!'] } }, 'each is the name of a variable'],
    ['a window without end', { it: { ...GITHUB, toleranceSeconds: 1e9 } }, 'toleranceSeconds must be a whole number'],
    [
      'an extension that is none',
      { it: { ...GITHUB, extensions: { id: 'x-id' } } },
      'of attributes that are extensions',
    ],
    ['a signature of a provider', { it: { ...GITHUB, signature: {} } }, 'there is no "signature" in it'],
    ['no signature', { it: { provider: 'hmac', secretVariables: ['S'] } }, 'hooks.it.signature is missing'],
    ['a hash that is broken', withSignature({ algorithm: 'md5' }), 'algorithm must be one of sha256, sha384, sha512'],
    ['a text without the body', withSignature({ signed: '{id}' }), 'signature.signed must hold {body} once'],
    [
      'a timestamp that is not signed',
      withSignature({ signed: '{body}', timestamp: { header: 'x-time' } }),
      'signed must hold {timestamp} if timestamp is set',
    ],
    ['an id that stands nowhere', withSignature({ signed: '{id}{body}' }), 'set id to { header: NAME }'],
  ])('%s', (_name, hooks, message) => {
    expect(() => configFileOf('f.ts', { hooks })).toThrow(message)
    expect(() => configFileOf('f.ts', { hooks })).toThrow(/^f\.ts: hooks/)
  })

  test.each<[string, string | undefined, string]>([
    [
      'a variable that is not set',
      undefined,
      'f.ts: hooks.it: the variable S is not set: put the secret of the sender',
    ],
    ['a secret that is short', 'short', 'f.ts: hooks.it: S holds 5 bytes, a secret needs 16: choose a longer one'],
  ])('%s', (_name, secret, message) => {
    const { hooks } = configFileOf('f.ts', { hooks: { it: GITHUB } })
    expect(() => openHooks('f.ts', hooks, { S: secret })).toThrow(message)
  })

  test('a secret that is not the base64 it must be, without the secret', () => {
    const { hooks } = configFileOf('f.ts', { hooks: { it: { ...GITHUB, provider: 'standard-webhooks' } } })
    const open = () => openHooks('f.ts', hooks, { S: 'whsec_not*base64*at*all*here' })
    expect(open).toThrow('S holds no base64: copy the whole secret')
    expect(open).not.toThrow('not*base64')
  })

  test('a file of a secret that is not there', () => {
    const hook = { provider: 'github', secretFiles: ['/nowhere/secret'] }
    const { hooks } = configFileOf('f.ts', { hooks: { it: hook } })
    expect(() => openHooks('f.ts', hooks, {})).toThrow('hooks.it: cannot read the file of a secret (ENOENT')
  })
})

test('secrets come from variables and files, without white space around them', () => {
  const path = join(temporaryDirectory(), 'secret')
  writeFileSync(path, 'from-a-file-1234567\n')
  const { hooks } = configFileOf('f.ts', { hooks: { it: { ...GITHUB, secretFiles: [path] } } })
  const [hook] = openHooks('f.ts', hooks, { S: 'from-a-variable-1234' })
  expect(hook?.keys.map((key) => Buffer.from(key).toString())).toEqual(['from-a-variable-1234', 'from-a-file-1234567'])
})
