/** The language of documents, comments and messages: usual words (docs/words.json), and short lines and sentences. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import usualWords from '../docs/words.json' with { type: 'json' }

const PROJECT = resolve(import.meta.dirname, '..')
const MAX_LINE_CHARACTERS = 120
const MAX_SENTENCE_WORDS = 30
const INSTEAD = Object.entries(usualWords).map(
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

/** Sentences that are too long. A colon or a semicolon ends one, too, before a capital letter or code. */
function longSentences(text: string): string[] {
  return text
    .replaceAll(/`[^`]*`/g, 'x')
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('**', '')
    .split(/(?<=[.!?:;])\s+(?=[A-Z"'(\d*x])|\n\s*\n|\n\s*(?:[-*>]|#+|\d+\.) /)
    .map((sentence) => sentence.trim().split(/\s+/))
    .filter((words) => words.length > MAX_SENTENCE_WORDS)
    .map((words) => `"${words.slice(0, 6).join(' ')} …": ${words.length} words; ${MAX_SENTENCE_WORDS} are the limit`)
}

/** A page without its code, tables and generated parts. */
function proseOf(page: string): string {
  return page
    .replaceAll(/^ *```[\s\S]*?^ *```$/gm, '')
    .replaceAll(/^<!-- ([\w-]+) -->$[\s\S]*?^<!-- \/\1 -->$/gm, '')
    .replaceAll(/^\s*\|.*$/gm, '')
}

/** The comments of a source, without their marks and drawings. A tag begins a sentence. */
function commentsOf(source: string): string {
  return [...source.matchAll(/\/\*\*?([\s\S]*?)\*\/|((?:^\s*\/\/.*\n)+)/gm)]
    .map(([, block, lines]) => block ?? lines ?? '')
    .map((comment) => comment.replaceAll(/^\s*(?:\*|\/\/) ?/gm, '').replaceAll(/^ {4,}.*$/gm, ''))
    .map((comment) => comment.replaceAll(/\n(?=@)/g, '\n\n'))
    .join('\n\n')
}

function problemsOf(file: string): string[] {
  const text = readFileSync(join(PROJECT, file), 'utf8')
  if (!file.endsWith('.md')) return [...oddWords(text), ...longSentences(commentsOf(text))]
  return [...oddWords(text), ...longLines(text), ...longSentences(proseOf(text))]
}

test.each(FILES)('%s is in plain English', (file) => {
  expect(problemsOf(file)).toEqual([])
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

test('the check finds long sentences in pages and in comments', () => {
  const sentenceOf = (words: number) => `A ${'word '.repeat(words - 2)}end.`
  const short = sentenceOf(30)
  const long = sentenceOf(31)
  const found = ['"A word word word word word …": 31 words; 30 are the limit']

  const page = `# Title\n\n${long} ${short}\n\n${short}\n- ${short}\n  1. **${short}** ${short}\nAn [a b](c) \`d e\`: ${short}`
  expect(longSentences(proseOf(page))).toEqual(found)
  expect(longSentences(proseOf(`\`\`\`\n${long}\n\`\`\`\n| ${long} |\n<!-- a -->\n${long}\n<!-- /a -->\n`))).toEqual([])

  const source = `/** ${long} */\n// ${long.replace(' end', '\n// end')}\nconst a = '${long}' // ${long}`
  expect(longSentences(commentsOf(source))).toEqual([...found, ...found])
  expect(longSentences(commentsOf(`/**\n * ${short}\n *     ${long}\n * @returns ${short.slice(2)}\n */`))).toEqual([])
})
