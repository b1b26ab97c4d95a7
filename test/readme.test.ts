import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { GENERATED_FILES, pathOf, render } from '../scripts/docs.ts'

test.each(GENERATED_FILES)('%s: its tables are the ones of the code (npm run docs writes them)', (file) => {
  const text = readFileSync(pathOf(file), 'utf8')
  expect(text).toMatch(
    /CHANNEL_CAPACITY_EVENTS:|`CHANNEL_CAPACITY_EVENTS`|`millrace_channel_capacity_events`|tasks of ingest/,
  )
  expect(render(file, text)).toBe(text)
})

test.each(GENERATED_FILES.filter((file) => file.endsWith('.md')))('%s: every file it leads to exists', (file) => {
  const links = [...readFileSync(pathOf(file), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path]) => path)
  expect(links.length).toBeGreaterThan(1)
  for (const link of links) expect(existsSync(new URL(link ?? '', pathOf(file))), link).toBe(true)
})

// yamllint, which only runs where Ansible is (npm run test:ansible), would say it later.
test('the generated options of the Ansible role have no line over 180 characters', () => {
  const lines = readFileSync(pathOf('infra/ansible/roles/millrace/meta/argument_specs.yaml'), 'utf8').split('\n')
  expect(lines.filter((line) => line.length > 180)).toEqual([])
})
