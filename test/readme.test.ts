import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { GENERATED_FILES, pathOf, render } from '../scripts/docs.ts'

test.each(GENERATED_FILES)('%s: its tables are the ones of the code (npm run docs writes them)', (file) => {
  const text = readFileSync(pathOf(file), 'utf8')
  expect(text).toMatch(
    /CHANNEL_CAPACITY_EVENTS|millrace_channel_capacity_events|tasks of ingest|## POST|millrace dlq replay|UserConfig/,
  )
  expect(render(file, text)).toBe(text)
})

const PROJECT = resolve(import.meta.dirname, '..')
const PAGES = [
  ...readdirSync(PROJECT),
  ...readdirSync(join(PROJECT, 'docs'), { recursive: true, encoding: 'utf8' }).map((file) => join('docs', file)),
].filter((file) => file.endsWith('.md'))

test.each(PAGES)('%s: every file it leads to exists', (file) => {
  const text = readFileSync(join(PROJECT, file), 'utf8')
  const paths = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path = '']) =>
    resolve(PROJECT, dirname(file), path),
  )
  // What leaves the project is a page of GitHub.
  const missing = paths.filter((path) => path.startsWith(PROJECT) && !existsSync(path))
  expect(missing).toEqual([])
})

test('every badge is of a workflow that there is', () => {
  const names = [...readFileSync(join(PROJECT, 'README.md'), 'utf8').matchAll(/workflows\/([\w-]+\.yaml)/g)]
  expect(names.length).toBeGreaterThan(0)
  const missing = names.filter(([, name = '']) => !existsSync(join(PROJECT, '.github/workflows', name)))
  expect(missing).toEqual([])
})

// yamllint, which only runs where Ansible is (npm run test:ansible), would say it later.
test('the generated options of the Ansible role have no line over 180 characters', () => {
  const lines = readFileSync(pathOf('infra/ansible/roles/millrace/meta/argument_specs.yaml'), 'utf8').split('\n')
  expect(lines.filter((line) => line.length > 180)).toEqual([])
})
