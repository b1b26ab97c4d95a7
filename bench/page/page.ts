/** docs/benchmarks.md with its plots, rendered from results. Only the notes are written by hand. */
import { figure, MEASURES, type Measure } from '../measures.ts'
import { NOTES } from '../notes.ts'
import type { Contender, Plot, Question } from '../question.ts'
import type { Machine } from '../support/machine.ts'
import { summarise } from '../support/statistics.ts'
import { type Outcome, outcomeOf, spread } from './outcome.ts'
import { bars, lines } from './plot.ts'
import { type Result, type Results, roundsOf } from './results.ts'

export const PAGE = 'docs/benchmarks.md'
const PLOTS = 'benchmarks'
const MAX_LINE_CHARACTERS = 120

/** @returns path in the repository → text. */
export function renderPage(
  questions: readonly Question[],
  results: Results,
  notes: Readonly<Record<string, string>> = NOTES,
): Map<string, string> {
  const files = new Map<string, string>()
  const outcomes = questions.flatMap(({ name, targets }) =>
    targets.map((target) => ({ name, outcome: outcomeOf(target, results.get(name)) })),
  )
  const sections = questions.map((question) => {
    const result = results.get(question.name)
    const plots = result === undefined ? [] : plotsOf(question, result)
    for (const { file, svg } of plots) files.set(`docs/${file}`, svg)
    return sectionOf(question, result, plots, notes)
  })
  const text = [INTRODUCTION, holds(outcomes), machines(results), contenders(results), ...sections].join('\n\n')
  return new Map([[PAGE, `${text}\n`], ...files])
}

const INTRODUCTION = `# Benchmarks

${prose(`\`npm run bench\` generates this page from [\`bench/results\`](../bench/results).
[Decision 19](decisions/0019-benchmarks.md) explains how it is measured, and why. A figure is the median of the rounds, with
the lowest and the highest in brackets; a ratio is taken round by round. Load generator and server share the machine.`)}`

function holds(outcomes: readonly { readonly name: string; readonly outcome: Outcome }[]): string {
  const rows = outcomes.map(({ name, outcome: { wanted, figure: value = '–', spread: between = '–', held } }) => {
    const verdict = held === undefined ? 'not measured' : held ? 'held' : '**missed**'
    return row([`[${name}](#${name})`, wanted, value, between, verdict])
  })
  return ['## What should hold', '', ...table(['question', 'target', 'figure', 'spread', ''], rows)].join('\n')
}

function machines(results: Results): string {
  const byMachine = Map.groupBy(results, ([, { machine }]) => JSON.stringify(machine))
  const described = [...byMachine].map(([json, measured]) => {
    const { cpu, cores, memoryGib, kernel, fileSystem, versions }: Machine = JSON.parse(json)
    const what = byMachine.size === 1 ? [] : [row(['questions', measured.map(([name]) => name).join(', ')])]
    const rows = [
      ...what,
      row(['CPU', `${cpu}, ${cores} cores, ${memoryGib} GiB`]),
      row(['kernel', kernel]),
      row(['file system of the data', fileSystem]),
      row(['versions', versionsOf(versions)]),
    ]
    return table(['', ''], rows).join('\n')
  })
  return ['## The machine', ...described].join('\n\n')
}

function versionsOf(versions: Machine['versions']): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')
}

function contenders(results: Results): string {
  const all = new Map<string, Contender>()
  for (const { contenders = [] } of results.values()) for (const one of contenders) all.set(one.name, one)
  const rows = [...all.values()].map(({ name, title, version, durability }) => row([name, title, version, durability]))
  return ['## Who is compared', '', ...table(['name', 'what', 'of', 'its 202 means that'], rows)].join('\n')
}

function sectionOf(
  question: Question,
  result: Result | undefined,
  plots: readonly Drawn[],
  notes: Readonly<Record<string, string>>,
): string {
  const { name, title, how, targets } = question
  const head = [`<a id="${name}"></a>\n\n## ${title}`, prose(how)]
  if (result === undefined) return [...head, `Not measured yet: \`npm run bench -- ${name}\`.`].join('\n\n')
  const { skipped = [], remarks = [], rounds, seconds, measuredAt } = result
  const missed = targets.flatMap((target) => {
    const note = notes[target.key]
    const { held, wanted } = outcomeOf(target, result)
    return held === false && note !== undefined ? [prose(`**Missed: ${wanted}.** ${note}`)] : []
  })
  return [
    ...head,
    ...plots.map(({ file, title: alt }) => `![${alt}](${file})`),
    figures(result),
    ...remarks.map((remark) => prose(`${remark}.`)),
    ...skipped.map(({ subject, reason }) => prose(`Not measured: ${subject}, as ${reason}.`)),
    ...missed,
    `Measured ${measuredAt.slice(0, 10)}, ${rounds} rounds, ${seconds} s each: \`npm run bench -- ${name}\`.`,
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}

/** A row a subject, a column a measure. */
function figures({ series }: Result): string {
  if (series.length === 0) return ''
  const measures = (Object.keys(MEASURES) as Measure[]).filter((measure) =>
    series.some((one) => one.measure === measure),
  )
  const subjects = [...new Set(series.map(({ subject }) => subject))]
  const rows = subjects.map((subject) =>
    row([
      subject,
      ...measures.map((measure) => {
        const rounds = roundsOf(series, subject, measure)
        if (rounds.length === 0) return '–'
        const summary = summarise(rounds)
        return rounds.length === 1 ? figure(summary.median) : `${figure(summary.median)} (${spread(summary)})`
      }),
    ]),
  )
  return table(['', ...measures.map(heading)], rows).join('\n')
}

function heading(measure: Measure): string {
  const { title, unit } = MEASURES[measure]
  return unit === '' ? title : `${title},${unit.startsWith(' ') ? unit : ` ${unit}`}`
}

interface Drawn {
  readonly title: string
  readonly file: string
  readonly svg: string
}

function plotsOf({ plots }: Question, result: Result): Drawn[] {
  return plots.flatMap((plot) => {
    const svg = draw(plot, result)
    return svg === undefined ? [] : [{ title: plot.title, file: `${PLOTS}/${plot.name}.svg`, svg }]
  })
}

function draw(plot: Plot, { series, curves = [] }: Result): string | undefined {
  if (plot.kind === 'lines') {
    const all = curves.map(({ subject, points }) => ({ label: subject, points }))
    return all.length === 0 ? undefined : lines(plot.title, plot.x, plot.y, all)
  }
  const shown = series.filter(({ subject, measure }) => measure === plot.measure && plot.only?.test(subject) !== false)
  if (shown.length === 0) return undefined
  const isOurs = (subject: string) => /millrace/i.test(subject)
  const alone = !shown.some(({ subject }) => isOurs(subject))
  const all = shown.map(({ subject, rounds }) => ({
    label: subject,
    summary: summarise(rounds),
    ours: alone || isOurs(subject),
  }))
  return bars(plot.title, MEASURES[plot.measure].unit, all, plot.logarithmic)
}

/** A paragraph in lines of at most 120 characters; links and code in a line stay whole. */
function prose(text: string): string {
  const words = text.match(/(?:`[^`]*`|\[[^\]]*\]\([^)]*\)|\S)+/g) ?? []
  const paragraph: string[] = []
  for (const word of words) {
    const longer = [paragraph.at(-1), word].filter((part) => part !== undefined).join(' ')
    if (paragraph.length > 0 && longer.length <= MAX_LINE_CHARACTERS) paragraph.splice(-1, 1, longer)
    else paragraph.push(word)
  }
  return paragraph.join('\n')
}

function table(head: readonly string[], rows: readonly string[]): string[] {
  return [row(head), row(head.map(() => '---')), ...rows]
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}
