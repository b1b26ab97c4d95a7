/** What an install brings: from one registry, with hashes, and running nothing that was not approved. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

interface Package {
  readonly resolved?: string
  readonly integrity?: string
  readonly hasInstallScript?: boolean
  readonly inBundle?: boolean
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
