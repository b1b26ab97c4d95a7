/** docs/client.md, beside what it documents. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
const page = read('docs/client.md')

/** The members of an interface in this file. */
function membersOf(file: string, name: string): string[] {
  const [, body = ''] = new RegExp(`interface ${name} \\{\\n([\\s\\S]*?)\\n\\}`).exec(read(file)) ?? []
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(<]/gm)].map(([, member = '']) => member)
}

test.each([
  ['app/client/options.ts', 'ClientOptions', 19],
  ['app/client/spool.ts', 'SpoolOptions', 4],
])('%s: each of %s has a row', (file, name, least) => {
  const members = membersOf(file, name)
  expect(members.length).toBeGreaterThanOrEqual(least)
  expect(members.filter((member) => !page.includes(`| \`${member}\` |`))).toEqual([])
})

test('each count of stats is named', () => {
  const counts = membersOf('app/client/client.ts', 'ClientStats')
  expect(counts.length).toBeGreaterThan(8)
  expect(counts.filter((count) => !page.includes(`\`${count}\``))).toEqual([])
})

test('the defaults of the page are those of the code', () => {
  const ranges = [...read('app/client/options.ts').matchAll(/^ {2}(\w+): \[.+, (.+)\],$/gm)]
  expect(ranges.length).toBe(9)
  for (const [, name, value = ''] of ranges) {
    const [, written = ''] = new RegExp(`\\| \`${name}\` \\| ([^|]+) \\|`).exec(page) ?? []
    expect(written.replaceAll(',', ''), name).toBe(value.replaceAll('_', '').replace(/^(\d+) \* ([KM])IB$/, '$1 $2iB'))
  }
})
