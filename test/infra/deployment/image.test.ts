import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { findBuilder } from '../../../infra/deployment/builder.ts'
import { withDigest } from '../../../infra/deployment/image.ts'
import { programs } from '../../support/programs.ts'

const PROJECT = resolve(import.meta.dirname, '../../..')
const DIGEST = `sha256:${'7'.repeat(64)}`

describe('the digest of a pushed image', () => {
  test.each(['infra/config.ts', 'create-millrace/template/infra/config.ts'])(
    '%s has a place for it, and one',
    (file) => {
      const config = readFileSync(join(PROJECT, file), 'utf8')
      const text = withDigest(config, DIGEST) ?? ''
      expect(text.split(`digest: '${DIGEST}'`)).toHaveLength(2)
      expect(withDigest(text, DIGEST)).toBeUndefined()
    },
  )
})

describe('who builds', () => {
  afterEach(() => void vi.unstubAllEnvs())

  test('the first that works: a docker without its daemon does not', () => {
    vi.stubEnv('PATH', programs({ docker: 'exit 1', podman: 'exit 0', buildah: 'exit 0' }))
    expect(findBuilder()).toBe('podman')
    vi.stubEnv('PATH', programs({ docker: '[ "$1" = info ]', buildah: 'exit 0' })) // no buildx
    expect(findBuilder()).toBe('buildah')
    vi.stubEnv('PATH', programs({ docker: 'exit 0' }))
    expect(findBuilder()).toBe('docker')
  })

  test('none: what to install', () => {
    vi.stubEnv('PATH', programs({}))
    expect(() => findBuilder()).toThrow(/nothing here builds one: install docker, podman or buildah, and start it/)
  })
})
