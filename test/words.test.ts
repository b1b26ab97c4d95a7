/**
 * The language of documents and messages: usual words, and lines that fit a screen. docs/words.json has the words, and
 * the files that are not clean yet: that list may only become shorter.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import list from '../docs/words.json' with { type: 'json' }

const PROJECT = resolve(import.meta.dirname, '..')
const MAX_LINE_CHARACTERS = 120
const INSTEAD = Object.entries(list.instead).map(
  ([pattern, usual]) => [new RegExp(`\\b(?:${pattern})\\b`, 'i'), usual] as const,
)

const filesIn = (directory: string, ending: string) =>
  readdirSync(join(PROJECT, directory), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending) && !file.includes('.vitepress'))
    .map((file) => `${directory}/${file}`)
const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...filesIn('docs', '.md')]
const FILES = [...PAGES, ...filesIn('app', '.ts')]

/** Where a text says it in an unusual way, and what is usual. */
function oddWords(text: string): string[] {
  return text.split('\n').flatMap((line, index) =>
    INSTEAD.flatMap(([pattern, usual]) => {
      const found = pattern.exec(line)?.[0]
      return found === undefined ? [] : [`line ${index + 1}: "${found}": better: ${usual}`]
    }),
  )
}

/** Lines of prose that are too long: neither of tables, code or generated parts, nor one word that cannot be broken. */
function longLines(text: string): string[] {
  let isInCode = false
  let generated: string | undefined
  return text.split('\n').flatMap((line, index) => {
    if (/^\s*```/.test(line)) isInCode = !isInCode
    const [, mark] = /^<!-- (\/?[\w-]+) -->$/.exec(line) ?? []
    if (mark !== undefined) generated = mark.startsWith('/') ? undefined : mark
    if (isInCode || generated !== undefined || line.length <= MAX_LINE_CHARACTERS) return []
    if (/^\s*\|/.test(line) || !/\S\s+\S/.test(line.replace(/^\s*([-*]|\d+\.) /, '').replaceAll(UNBREAKABLE, 'x')))
      return []
    return [`line ${index + 1}: ${line.length} characters; ${MAX_LINE_CHARACTERS} are the limit`]
  })
}
/** A link, or code within a line: a break in it would be hard to read, or another command. */
const UNBREAKABLE = /\S*(`[^`]*`|\[[^\]]*\]\([^)]*\))\S*/g

function problemsOf(file: string): string[] {
  const text = readFileSync(join(PROJECT, file), 'utf8')
  return [...oddWords(text), ...(file.endsWith('.md') ? longLines(text) : [])]
}

test.each(FILES.filter((file) => !list.unclean.includes(file)))('%s is in plain English', (file) => {
  expect(problemsOf(file)).toEqual([])
})

test.each(list.unclean)('%s is not clean yet (once it is: take it from the list in docs/words.json)', (file) => {
  expect(problemsOf(file)).not.toEqual([])
})

test('the check finds what it is for', () => {
  expect(oddWords('Once you have mended it,\nsend it anew.')).toEqual([
    'line 1: "mended": better: fix',
    'line 2: "anew": better: again',
  ])
  expect(oddWords('A list that is absent when there are none.')).toEqual([])
  const long = `${'word '.repeat(30)}end`
  expect(longLines(`${long}\n\`\`\`sh\n${long}\n\`\`\`\n| ${long} |\n<!-- a -->\n${long}\n<!-- /a -->`)).toHaveLength(1)
})
