/** Every expression of every panel and rule, asked of a real Prometheus that scrapes the real service under load. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { DASHBOARDS, type Expression, expressions } from '../../../../infra/monitoring/dashboards/index.ts'
import { UP } from '../../../../infra/monitoring/promql.ts'
import { alerts, rules } from '../../../../infra/monitoring/rules.ts'
import { startEndpoint } from '../../../support/endpoint.ts'
import { startLoad } from '../../../support/load.ts'
import { type Service, startService, until } from '../../../support/service.ts'
import { temporaryDirectory } from '../../../support/temporary.ts'
import { PROMETHEUS } from './programs.ts'
import { startPrometheus } from './server.ts'

const SCRAPE_MS = 250
const FIRST_SCRAPE_WITHIN_MS = 30_000
const WORKING_MS = 5000
const FAILING_WITHIN_MS = 20_000
// What is added up over three days is looked at once a minute.
const DATA_WITHIN_MS = 75_000

/** Requests that are refused for several reasons, and events that are not events, until stopped. */
function startNonsense({ url }: Service): () => Promise<void> {
  let stopped = false
  const send = (type: string, body: string) =>
    fetch(`${url}/v1/events`, { method: 'POST', headers: { 'content-type': type }, body }).then((r) => r.arrayBuffer())
  const running = (async () => {
    while (!stopped) {
      await send('application/x-ndjson', '{"data":1}\n{"id":"no data"}\n')
      await send('application/json', '{"data":')
      await send('text/plain', 'x')
      // More than the channel holds: refused by the service's own limit.
      await send('application/json', JSON.stringify({ data: 'x'.repeat(2000) }))
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  return () => {
    stopped = true
    return running
  }
}

function everyExpression(): Expression[] {
  const records = rules().groups.flatMap(({ name, rules: members }) =>
    members.map((rule) => ({ where: `${name} · ${'record' in rule ? rule.record : rule.alert}`, rule })),
  )
  return [
    ...expressions(),
    ...records.flatMap(({ where, rule }) => ('record' in rule ? { where, expr: rule.expr } : [])),
    ...alerts().flatMap(({ alert, condition }) => condition.signals.map((expr) => ({ where: alert, expr }))),
  ]
}

/** As Grafana puts values in the places of its variables. */
function interpolate(expr: string): string {
  const filled = expr.replaceAll('$__rate_interval', '5s').replaceAll(/\$(instance|sink)\b/g, '.*')
  expect(filled).not.toContain('$')
  return filled
}

describe.skipIf(PROMETHEUS.missing)(`a real Prometheus${PROMETHEUS.why}`, () => {
  test('every expression of every panel and rule returns data', async () => {
    const endpoint = await startEndpoint(({ id }) => (id.endsWith('7') ? 400 : 200))
    const service = await startService(temporaryDirectory(), {
      SINKS: 'file,http',
      HTTP_SINK_URL: endpoint.url,
      RETRY_MAX_MS: '200',
    })
    const prometheus = await startPrometheus(new URL(service.adminUrl).host, SCRAPE_MS)
    // Counts from before the first scrape are no increase for Prometheus, and it takes its time.
    const isScraped = async () => (await prometheus.query(`${UP} == 1`)).length > 0
    await until(isScraped, FIRST_SCRAPE_WITHIN_MS, 'the first scrape')
    const load = startLoad(service.url, { connections: 4, batch: 5, pauseMs: 20, remember: false })
    const stopNonsense = startNonsense(service)
    onTestFinished(async () => {
      await Promise.allSettled([load.stop(), stopNonsense()])
    })
    await new Promise((resolve) => setTimeout(resolve, WORKING_MS))
    endpoint.answer = () => 503
    const isFailing = async () =>
      (await prometheus.query('ALERTS{alertname="MillraceSinkFailing",sink="http",alertstate="pending"}')).length > 0
    await until(isFailing, FAILING_WITHIN_MS, 'the failing sink is noticed by its alert')

    const every = everyExpression()
    const missing = new Map(every.map((expression) => [`${expression.where}: ${expression.expr}`, expression]))
    const total = missing.size
    const ask = async () => {
      for (const [key, { expr }] of missing) {
        const samples = await prometheus.query(interpolate(expr))
        if (samples.some(({ value: [, value] }) => value !== 'NaN')) missing.delete(key)
      }
      return missing.size === 0
    }
    await until(ask, DATA_WITHIN_MS, 'data for every expression').catch(() => undefined)
    console.error(`  ${total - missing.size} of ${total} expressions return data`)
    expect([...missing.keys()]).toEqual([])
    expect(total).toBeGreaterThan(100)

    // What the rules themselves say of it.
    const { groups } = (await prometheus.get('rules')) as {
      groups: { rules: { name: string; health: string; lastError?: string }[] }[]
    }
    const evaluated = groups.flatMap((group) => group.rules)
    expect(evaluated.filter(({ health }) => health !== 'ok')).toEqual([])
    expect(evaluated.length).toBe(rules().groups.flatMap((group) => group.rules).length)
    const deadLetters = await prometheus.query('ALERTS{alertname="MillraceDeadLetters",alertstate="firing"}')
    expect(deadLetters.map(({ metric }) => metric.sink)).toEqual(['http'])
    const labels = Object.values(DASHBOARDS).flatMap(({ templating }) =>
      (templating?.list ?? []).flatMap((variable) =>
        variable.type === 'query' && typeof variable.query === 'string' ? variable.query : [],
      ),
    )
    for (const query of new Set(labels)) {
      const [, series = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(query) ?? []
      const values = await prometheus.get(`label/${label}/values`, { 'match[]': series })
      expect(values, query).not.toEqual([])
    }
  }, 180_000)
})
