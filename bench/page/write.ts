/** Writes the page from the results that are there: at the end of a run, and by `npm run docs`, such as for a new note. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { QUESTIONS } from '../questions.ts'
import { renderPage } from './page.ts'
import { readResults } from './results.ts'

const ROOT = join(import.meta.dirname, '../..')

export function writePage(): void {
  for (const [path, text] of renderPage(QUESTIONS, readResults(QUESTIONS))) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true })
    writeFileSync(join(ROOT, path), text)
  }
}

if (process.argv[1] === import.meta.filename) writePage()
