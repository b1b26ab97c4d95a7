/**
 * `npm run bench [-- question …] [--smoke]`: measures, writes bench/results/<question>.json, and renders docs/benchmarks.md from what is
 * there. Without a name, or with `all`: the questions of the page. `--smoke`: for a moment, and nothing is written.
 */
import { messageOf } from '../app/errors.ts'
import { outcomeOf } from './page/outcome.ts'
import { rounded, writeResult } from './page/results.ts'
import { printResult } from './page/text.ts'
import { writePage } from './page/write.ts'
import type { Context, Question } from './question.ts'
import { BY_NAME, QUESTIONS } from './questions.ts'
import { machine } from './support/machine.ts'
import { endProgress } from './support/progress.ts'

const ROUNDS = 5
const SECONDS = 4

const names = process.argv.slice(2).filter((name) => name !== '--smoke' && name !== 'all')
const smoke = process.argv.includes('--smoke')
const known = [...QUESTIONS, ...BY_NAME]
const unknown = names.find((name) => !known.some((question) => question.name === name))
if (unknown !== undefined) {
  console.error(`no benchmark "${unknown}": use all, ${known.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}
const context: Context = {
  smoke,
  rounds: smoke ? 1 : whole('MILLRACE_BENCH_ROUNDS', ROUNDS),
  seconds: smoke ? 1 : whole('MILLRACE_BENCH_SECONDS', SECONDS),
}
const chosen = known.filter(({ name }) => names.includes(name))
const asked = chosen.length > 0 ? chosen : QUESTIONS

const here = machine()
const failures: string[] = []
for (const question of asked) await ask(question)
if (!smoke) writePage()
// Said again at the end: what was measured behind it fills a page.
for (const failure of failures) console.error(failure)
process.exitCode = failures.length > 0 ? 1 : 0

async function ask(question: Question): Promise<void> {
  const { name, targets } = question
  process.stdout.write(`\n${name}\n`)
  try {
    const startedAt = performance.now()
    const { rounds, seconds } = context
    const result = rounded({
      measuredAt: new Date().toISOString(),
      rounds,
      seconds,
      machine: here,
      ...(await question.run(context)),
    })
    endProgress()
    const tookSeconds = (performance.now() - startedAt) / 1000
    const outcomes = smoke ? [] : targets.map((target) => outcomeOf(target, result))
    process.stdout.write(`${printResult(result, outcomes).join('\n')}\n`)
    process.stdout.write(`  took ${tookSeconds.toFixed(0)} s\n`)
    if (!smoke && QUESTIONS.includes(question)) writeResult(name, result)
  } catch (error) {
    endProgress()
    // The others are worth their time all the same.
    console.error(error)
    failures.push(`${name} could not be measured: ${messageOf(error)}`)
  }
}

function whole(variable: string, fallback: number): number {
  const value = Number(process.env[variable] ?? fallback)
  if (Number.isInteger(value) && value > 0) return value
  console.error(`${variable} must be a whole number above 0`)
  process.exit(2)
}
