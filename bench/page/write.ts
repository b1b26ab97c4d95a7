/**
 * Writes the page, and the README's part, from the results that are there: at the end of a run, and by `npm run docs`,
 * such as for a new note.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { QUESTIONS } from '../questions.ts'
import { renderPage } from './page.ts'
import { README, renderReadme } from './readme.ts'
import { readResults } from './results.ts'

const ROOT = join(import.meta.dirname, '../..')

export function writePage(): void {
  const results = readResults(QUESTIONS)
  for (const [path, text] of renderPage(QUESTIONS, results)) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true })
    writeFileSync(join(ROOT, path), text)
  }
  const readme = join(ROOT, README)
  writeFileSync(readme, renderReadme(readFileSync(readme, 'utf8'), results))
}

if (process.argv[1] === import.meta.filename) writePage()
