/**
 * What the README says of speed, from the same results as the page. Ratios alone: a figure belongs to the machine that
 * it was seen on, a ratio of two on the same machine mostly does not.
 */
import { figure, type Measure } from '../measures.ts'
import { ratios, summarise } from '../support/statistics.ts'
import { type Result, type Results, roundsOf } from './results.ts'

export const README = 'README.md'

interface Row {
  readonly question: string
  readonly words: string
  readonly measure: Measure
  readonly of: string
  /** Subject → the words for it. */
  readonly to: Readonly<Record<string, string>>
}

const RUST_GROUP = { 'rust-group': 'a Rust service with group commit' }
const DELIVERING = 'millrace + file sink'

const ROWS: readonly Row[] = [
  {
    question: 'singles',
    words: 'Single events a second, 256 connections',
    measure: 'requestsPerSecond',
    of: 'millrace',
    to: {
      fastapi: 'FastAPI with a sync for each event',
      robyn: 'Robyn with a sync for each event',
      'rust-sample': 'the Rust sample that it follows',
      'node-http': 'bare `node:http` with group commit',
    },
  },
  {
    question: 'ndjson-small',
    words: 'Small events a second, 100 in a request',
    measure: 'eventsPerSecond',
    of: 'millrace',
    to: RUST_GROUP,
  },
  {
    question: 'ndjson-cloudevents',
    words: 'CloudEvents a second, 100 in a request',
    measure: 'eventsPerSecond',
    of: 'millrace',
    to: RUST_GROUP,
  },
  {
    question: 'latency',
    words: 'Slowest write of a hundred (p99), 2,000 single events a second',
    measure: 'p99Ms',
    of: 'millrace',
    to: { fastapi: 'FastAPI with a sync for each event', ...RUST_GROUP },
  },
  {
    question: 'cpu',
    words: 'CPU time of an event, 1,000 single events a second, delivered to files',
    measure: 'cpuUsPerEvent',
    of: DELIVERING,
    to: { 'rust-group': 'a Rust service with group commit that delivers nothing' },
  },
  {
    question: 'cpu',
    words: 'The same with `GROUP_LINGER_MS=10`',
    measure: 'cpuUsPerEvent',
    of: `${DELIVERING}, linger 10 ms`,
    to: { [DELIVERING]: 'without' },
  },
]

const PART = /(<!-- fast -->\n)[\s\S]*?(<!-- \/fast -->)/

/** @returns the text with its part about speed as the results have it. */
export function renderReadme(text: string, results: Results): string {
  if (!PART.test(text)) throw new Error(`${README} has no marks <!-- fast --> … <!-- /fast -->`)
  return text.replace(PART, (_, begin: string, end: string) => `${begin}${partOf(results)}\n${end}`)
}

function partOf(results: Results): string {
  const rows = ROWS.flatMap(({ question, words, measure, of, to }) => {
    const { series = [] } = results.get(question) ?? {}
    return Object.entries(to).flatMap(([peer, peerWords]) => {
      const values = ratios(roundsOf(series, of, measure), roundsOf(series, peer, measure))
      return values.length === 0 ? [] : [`| ${words} | ${peerWords} | ${figure(summarise(values).median)} × |`]
    })
  })
  return [...machineOf(results.get('singles')), '', '| | beside | |', '|---|---|---|', ...rows].join('\n')
}

function machineOf(result: Result | undefined): string[] {
  if (result === undefined) return []
  const { rounds, machine } = result
  return [
    `Medians of ${rounds} rounds, taken in turn, on ${machine.cores} cores (${machine.cpu}) that the load generator shares.`,
  ]
}
