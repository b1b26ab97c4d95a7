/**
 * PromQL from the metrics contract: a name or a label that the contract does not have is a type error here.
 * Everything selects the job of the service, so that a shared Prometheus is not a problem.
 */
import {
  type KeyOfType,
  type LABELS,
  type METRICS,
  metricName,
  type RUNTIME_METRICS,
} from '../../app/observability/metrics-contract.ts'

/** The scrape job. Every scraper (Prometheus locally, a collector in the cloud) must use this name. */
export const JOB = 'millrace'

type LabelOf<K extends keyof typeof METRICS> = (typeof METRICS)[K]['labels'][number]
/** `role` is put on by the collector of a task: ./collector.ts. */
type Matchers<L extends string> = { readonly [label in L | 'instance' | 'role']?: string }

/** A metric of the contract; a value that begins with `~` is a regular expression. */
export function select<K extends KeyOfType<'counter' | 'gauge'>>(key: K, matchers: Matchers<LabelOf<K>> = {}): string {
  return selector(metricName(key), matchers)
}

/** One series of a histogram; `le` has to be a bucket that it has. */
export function selectHistogram<K extends KeyOfType<'histogram'>>(
  key: K,
  part: 'count' | 'sum' | 'bucket',
  matchers: { readonly le?: (typeof METRICS)[K]['buckets'][number]; readonly instance?: string } = {},
): string {
  const { le, ...rest } = matchers
  return selector(`${metricName(key)}_${part}`, { ...rest, ...(le !== undefined && { le: String(le) }) })
}

/** One of prom-client's own metrics. */
export function selectRuntime(name: (typeof RUNTIME_METRICS)[number], part = '', instance = '~$instance'): string {
  return selector(name + part, { instance })
}

export const UP = up({})

export function up(matchers: Matchers<never>): string {
  return selector('up', matchers)
}

function selector(name: string, matchers: Readonly<Record<string, string | undefined>>): string {
  const pairs = Object.entries({ job: JOB, ...matchers }).map(([label, value = '']) =>
    value.startsWith('~') ? `${label}=~"${value.slice(1)}"` : `${label}="${value}"`,
  )
  return `${name}{${pairs.join(',')}}`
}

export function rate(series: string, window: string): string {
  return `rate(${series}[${window}])`
}

export function increase(series: string, window: string): string {
  return `increase(${series}[${window}])`
}

export function sum(expression: string, ...by: (keyof typeof LABELS | 'instance' | 'role' | 'le' | 'kind')[]): string {
  return aggregate('sum', expression, by)
}

export function max(expression: string, ...by: (keyof typeof LABELS | 'instance' | 'role' | 'kind')[]): string {
  return aggregate('max', expression, by)
}

function aggregate(operator: string, expression: string, by: readonly string[]): string {
  return by.length > 0 ? `${operator} by (${by.join(', ')}) (${expression})` : `${operator}(${expression})`
}

/** A quantile over all instances. */
export function quantile(
  share: number,
  key: KeyOfType<'histogram'>,
  window: string,
  matchers: { readonly instance?: string } = {},
): string {
  return `histogram_quantile(${share}, ${sum(rate(selectHistogram(key, 'bucket', matchers), window), 'le')})`
}
