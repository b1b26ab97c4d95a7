import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { newestRelease, ReleaseError, withDigest, withLinks } from '../../scripts/release.ts'

const CHANGELOG = `# Changelog

## [Unreleased]

### Added

- Not yet.

## [0.2.0] - 2026-11-23

### Added

- A thing.

## [0.1.0] - 2026-10-01

- The first.
`

test('the newest version of the changelog is what is released, with what it says of it', () => {
  expect(newestRelease(CHANGELOG)).toEqual({ version: '0.2.0', notes: '### Added\n\n- A thing.' })
  expect(newestRelease(CHANGELOG.slice(CHANGELOG.indexOf('## [0.1.0]')))).toEqual({
    version: '0.1.0',
    notes: '- The first.',
  })
})

test('what is not yet a version is not released', () => {
  expect(newestRelease('# Changelog\n\n## [Unreleased]\n\n- Not yet.\n')).toBeUndefined()
  expect(newestRelease('## [1.0.0]\n')).toBeUndefined() // no date: not yet decided
})

test('the version of package.json is the newest of CHANGELOG.md, below an unreleased part', () => {
  const changelog = readFileSync(new URL('../../CHANGELOG.md', import.meta.url), 'utf8')
  expect(newestRelease(changelog)?.version).toBe(packageJson.version)
  expect(changelog.match(/^## .*/gm)?.[0]).toBe('## [Unreleased]')
})

test('links of the notes lead to the files of the tag', () => {
  const notes = 'See [hooks](docs/hooks.md), [the form](https://keepachangelog.com) and [above](#added).'
  expect(withLinks(notes, 'https://example.com/blob/v1/')).toBe(
    'See [hooks](https://example.com/blob/v1/docs/hooks.md), [the form](https://keepachangelog.com) and [above](#added).',
  )
})

test('the digest takes the place of the one in infra/config.ts, and of nothing else', () => {
  const config = readFileSync(new URL('../../infra/config.ts', import.meta.url), 'utf8')
  const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
  const [before, after] = [config.split('\n'), withDigest(config, digest).split('\n')]
  const changed = after.filter((line, at) => line !== before[at])
  expect(changed).toEqual([`const released: Image = { digest: '${digest}' }`])
  expect(withDigest(withDigest(config, digest), digest)).toBe(withDigest(config, digest))
})

test('a digest that is none is refused', () => {
  const config = readFileSync(new URL('../../infra/config.ts', import.meta.url), 'utf8')
  for (const wrong of ['', 'latest', 'sha256:12', `sha256:${'A'.repeat(64)}`]) {
    expect(() => withDigest(config, wrong), wrong).toThrow(ReleaseError)
  }
  expect(() => withDigest('nothing', `sha256:${'a'.repeat(64)}`)).toThrow(/infra\/config\.ts has no line/)
})
