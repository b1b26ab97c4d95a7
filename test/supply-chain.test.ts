/** What an install brings: from one registry, with hashes, and running nothing that was not approved. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

interface Package {
  readonly resolved?: string
  readonly integrity?: string
  readonly hasInstallScript?: boolean
  readonly inBundle?: boolean
  readonly license?: string
  /** Not installed where it runs. */
  readonly dev?: boolean
  readonly devOptional?: boolean
  readonly link?: boolean
}
const read = (file: string) => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'))
const { allowScripts } = read('package.json')
const lock: Readonly<Record<string, Package>> = read('package-lock.json').packages
const packages = Object.entries(lock).filter(([path]) => path !== '')

test('every package comes from the public registry, with the hash of its content', () => {
  expect(packages.length).toBeGreaterThan(100)
  for (const [path, { resolved, integrity, inBundle }] of packages) {
    if (inBundle) continue // part of another package, and of its hash
    if (resolved !== undefined) expect(resolved, path).toMatch(/^https:\/\/registry\.npmjs\.org\//)
    expect(integrity, path).toMatch(/^sha512-/)
  }
})

test('a package with an install script is decided on by name; what is approved exists', () => {
  const withScript = packages
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
  expect(new Set(withScript)).toEqual(new Set(Object.keys(allowScripts)))
})

test('what runs in production may be used and passed on by anyone: only permissive licences', () => {
  const permissive = new Set([
    'MIT',
    'ISC',
    'Apache-2.0',
    'BSD-2-Clause',
    'BSD-3-Clause',
    '0BSD',
    'BlueOak-1.0.0',
    'Unlicense',
  ])
  const shipped = packages.filter(([, { dev, devOptional, link }]) => !dev && !devOptional && !link)
  expect(shipped.length).toBeGreaterThan(100)
  expect(
    shipped
      .filter(([, { license = 'none' }]) => !permissive.has(license))
      .map(([path, { license }]) => [path, license]),
  ).toEqual([])
})
