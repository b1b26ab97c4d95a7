import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { NOTES } from '../../bench/notes.ts'
import { outcomeOf } from '../../bench/page/outcome.ts'
import { renderPage } from '../../bench/page/page.ts'
import { ticks } from '../../bench/page/plot.ts'
import { README, renderReadme } from '../../bench/page/readme.ts'
import { type Result, readResults } from '../../bench/page/results.ts'
import type { Measured, Question, Target } from '../../bench/question.ts'
import { BY_NAME, QUESTIONS } from '../../bench/questions.ts'

const ROOT = join(import.meta.dirname, '../..')
const committed = renderPage(QUESTIONS, readResults(QUESTIONS))

test('the page and its plots are what the committed results give (npm run docs writes them)', () => {
  for (const [path, text] of committed) expect(readFileSync(join(ROOT, path), 'utf8'), path).toBe(text)
  const plots = readdirSync(join(ROOT, 'docs/benchmarks')).map((name) => `docs/benchmarks/${name}`)
  expect(plots.filter((path) => !committed.has(path))).toEqual([])
})

test('the README says what the committed results give, in ratios alone', () => {
  const readme = readFileSync(join(ROOT, README), 'utf8')
  expect(renderReadme(readme, readResults(QUESTIONS))).toBe(readme)
  const [part = ''] = /<!-- fast -->[\s\S]*<!-- \/fast -->/.exec(readme) ?? []
  const rows = part.split('\n').filter((line) => line.startsWith('| ') && !line.includes('beside'))
  expect(rows.length).toBeGreaterThan(8)
  for (const row of rows) expect(row).toMatch(/ \| [\d.]+ × \|$/)
})

test('every target and question has a name of its own, and every note a target', () => {
  const keys = QUESTIONS.flatMap(({ targets }) => targets.map(({ key }) => key))
  expect(keys).toEqual([...new Set(keys)])
  expect(Object.keys(NOTES).filter((key) => !keys.includes(key))).toEqual([])
  const names = [...QUESTIONS, ...BY_NAME].map(({ name }) => name)
  expect(names).toEqual([...new Set(names)])
})

const target: Target = { key: 'k', measure: 'requestsPerSecond', of: 'us', to: 'them', bound: { atLeast: 0.9 } }
const measured = (us: number[], them: number[]): Measured => ({
  series: [
    { subject: 'us', measure: 'requestsPerSecond', rounds: us },
    { subject: 'them', measure: 'requestsPerSecond', rounds: them },
  ],
})

test('a target holds by the median of the ratios of each round', () => {
  const outcome = outcomeOf(target, measured([95, 40, 100], [100, 50, 100]))
  expect(outcome).toMatchObject({ figure: '0.95 ×', spread: '0.8 … 1', held: true })
  expect(outcomeOf(target, measured([80, 40, 100], [100, 50, 100])).held).toBe(false)
  expect(outcomeOf({ ...target, bound: { atMost: 0.9 } }, measured([80], [100])).held).toBe(true)
})

test('what was not measured neither holds nor is missed', () => {
  expect(outcomeOf(target, undefined)).not.toHaveProperty('held')
  expect(outcomeOf(target, measured([95], []))).not.toHaveProperty('held')
})

const question: Question = {
  name: 'q',
  title: 'Question',
  how: 'How.',
  targets: [target],
  plots: [{ kind: 'bars', name: 'q', title: 'Requests <a second>', measure: 'requestsPerSecond' }],
  run: async () => measured([], []),
}
const result: Result = {
  ...measured([80], [100]),
  skipped: [{ subject: 'peer', reason: 'it is not installed: npm run bench:peers' }],
  measuredAt: '2026-01-31T12:00:00.000Z',
  rounds: 1,
  seconds: 1,
  machine: { cpu: 'C', cores: 2, memoryGib: 4, kernel: 'Linux 6', fileSystem: 'ext4 (rw)', versions: { Node: '22' } },
}

test('the page says what was missed, who was not measured, and what was never asked', () => {
  const files = renderPage([question], new Map([['q', result]]))
  const page = files.get('docs/benchmarks.md')
  expect(page).toContain('| [q](#q) | requests of us: at least 0.9 × them | 0.8 × | 0.8 … 0.8 | **missed** |')
  expect(page).toContain('Not measured: peer, as it is not installed: npm run bench:peers.')
  expect(files.get('docs/benchmarks/q.svg')).toContain('<title>Requests &lt;a second></title>')
  const notes = { k: 'The time goes into the sync.' }
  expect(renderPage([question], new Map([['q', result]]), notes).get('docs/benchmarks.md')).toContain(
    '**Missed: requests of us: at least 0.9 × them.** The time goes into the sync.',
  )
  expect(renderPage([question], new Map()).get('docs/benchmarks.md')).toContain(
    'Not measured yet: `npm run bench -- q`.',
  )
})

test('an axis has few ticks, at round figures, and ends behind the highest value', () => {
  expect(ticks(60)).toEqual([0, 10, 20, 30, 40, 50, 60])
  expect(ticks(170)).toEqual([0, 50, 100, 150, 200])
  expect(ticks(0.7)?.at(-1)).toBeGreaterThanOrEqual(0.7)
})
