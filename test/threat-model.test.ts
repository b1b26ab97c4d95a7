/** docs/threat-model.md names tests: each of them is there, and each of OWASP's ten risks has one by name. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const PROJECT = resolve(import.meta.dirname, '..')
const TEXT = readFileSync(resolve(PROJECT, 'docs/threat-model.md'), 'utf8')
/** A path, and perhaps names behind it: `test/a.test.ts` ("one test", "a part of … another"). */
const REFERENCE = /`((?:test|infra)\/[^`]+)`(?: \(([^)]*)\))?/g

interface Reference {
  readonly path: string
  readonly names: readonly string[]
}

function referencesIn(text: string): Reference[] {
  return [...text.matchAll(REFERENCE)].map(([, path = '', names = '']) => ({
    path,
    names: [...names.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name),
  }))
}

/** What is left out in a name stands there as an ellipsis. */
function isIn(text: string, name: string): boolean {
  const parts = name.split('…').map((part) => part.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(parts.join('[^\\n]*')).test(text)
}

const all = referencesIn(TEXT)

test('it names many tests', () => {
  expect(all.length).toBeGreaterThan(60)
  expect(all.filter(({ names }) => names.length > 0).length).toBeGreaterThan(25)
})

test.each([...new Set(all.map(({ path }) => path))])('%s is there, with the tests that are named', (path) => {
  const file = resolve(PROJECT, path)
  expect(existsSync(file)).toBe(true)
  const names = all.filter((one) => one.path === path).flatMap((one) => one.names)
  expect(names.filter((name) => !isIn(readFileSync(file, 'utf8'), name))).toEqual([])
})

describe("OWASP's API Security Top 10", () => {
  const rows = TEXT.split('\n').filter((line) => /^\| API\d+:2023/.test(line))

  test('has a line for each of the ten', () => {
    const numbers = rows.map((row) => Number(/^\| API(\d+):/.exec(row)?.[1]))
    expect(numbers).toEqual(Array.from({ length: 10 }, (_, at) => at + 1))
  })

  test.each(rows)('%s', (row) => {
    const [, , holds = '', tests = ''] = row.split('|')
    expect(holds.trim().length).toBeGreaterThan(20)
    expect(referencesIn(tests).flatMap(({ names }) => names).length).toBeGreaterThan(0)
  })
})
