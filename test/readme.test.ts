import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { renderReadme } from '../scripts/docs.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

test('the configuration table is the one of the schema (npm run docs writes it)', () => {
  expect(readme).toContain('`CHANNEL_CAPACITY_EVENTS`')
  expect(renderReadme(readme)).toBe(readme)
})

test('every file that the README leads to exists', () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path]) => path ?? '')
  expect(links.length).toBeGreaterThan(5)
  for (const link of links)
    expect(() => readFileSync(new URL(`../${link}`, import.meta.url)), link).not.toThrow(/ENOENT/)
})
