import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { METRICS, RUNTIME_METRICS } from '../../../app/observability/metrics-contract.ts'
import { generatedFiles } from '../../../infra/monitoring/generated.ts'
import { prometheusYaml } from '../../../infra/monitoring/local-prometheus.ts'
import { rules, rulesYaml } from '../../../infra/monitoring/rules.ts'
import { BURNS, SLOS } from '../../../infra/monitoring/slo.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const every = rules().groups.flatMap((group) => group.rules)
const alerting = every.flatMap((rule) => ('alert' in rule ? rule : []))
/** Those of a scaled environment, of which some are for one role. */
const ofFleets = rules({
  fleets: [
    { role: 'ingest', minTasks: 3, maxTasks: 60 },
    { role: 'deliver', minTasks: 1, maxTasks: 12 },
  ],
}).groups.flatMap((group) => group.rules.flatMap((rule) => ('alert' in rule ? rule : [])))

test.each([...generatedFiles()])('%s is as the source has it (npm run docs writes it)', (path, content) => {
  expect(readFileSync(`${ROOT}infra/monitoring/${path}`, 'utf8')).toBe(content)
})

test('every alert has a severity, a summary, a description, and a runbook that exists and names it', () => {
  expect(alerting.length).toBeGreaterThan(15)
  expect(ofFleets.length).toBe(alerting.length + 3)
  for (const { alert, labels, annotations } of [...alerting, ...ofFleets]) {
    expect(['page', 'ticket'], alert).toContain(labels.severity)
    expect(annotations.summary.length, alert).toBeGreaterThan(10)
    expect(annotations.description, alert).toMatch(/\.$/)
    expect(annotations.runbook_url, alert).toMatch(/^docs\/runbooks\/[\w-]+\.md$/)
    const runbook = ROOT + annotations.runbook_url
    expect(existsSync(runbook), runbook).toBe(true)
    expect(readFileSync(runbook, 'utf8'), runbook).toContain(`\`${alert}\``)
  }
})

test('runbooks lead to each other, and every one is in their list', () => {
  const files = readdirSync(`${ROOT}docs/runbooks`)
  for (const file of files) {
    const text = readFileSync(`${ROOT}docs/runbooks/${file}`, 'utf8')
    for (const [, link = ''] of text.matchAll(/\]\((\S+?)\)/g)) {
      expect(existsSync(`${ROOT}docs/runbooks/${link.split('#')[0]}`), `${file} leads to ${link}`).toBe(true)
    }
    if (file === 'README.md') for (const other of files) if (other !== file) expect(text).toContain(`(${other})`)
  }
})

test('the objectives are the promised ones: 99.9 % available, 30 ms, 60 s, and three burn rates each', () => {
  expect(SLOS.find(({ name }) => name === 'Availability')?.objective).toBe(0.999)
  expect(SLOS.find(({ name }) => name === 'WriteLatency')?.errors('30m')).toContain('le="0.03"')
  expect(rulesYaml()).toContain('> bool 60')
  expect(BURNS.map(({ factor, long, short, severity }) => [factor, long, short, severity])).toEqual([
    [14.4, '1h', '5m', 'page'],
    [6, '6h', '30m', 'page'],
    [1, '3d', '6h', 'ticket'],
  ])
  expect(alerting.find(({ alert }) => alert === 'MillraceAvailabilityFastBurn')?.expr).toMatch(
    /ratio_rate1h > 0\.0144 and .*ratio_rate5m > 0\.0144/,
  )
})

test('a window of three days is added up from recorded five-minute rates: raw samples of every series cost money', () => {
  const overDays = every.filter(({ expr }) => /\[3d/.test(expr))
  expect(overDays).toHaveLength(5) // a share of each objective, and two counts of requests
  for (const { expr } of overDays) {
    const read = [...expr.matchAll(/([\w:]+(?:{[^}]*})?)\[3d[^\]]*\]/g)].map(([, series = '']) => series)
    expect(read.length, expr).toBeGreaterThan(0)
    for (const series of read) expect(series, expr).toMatch(/^millrace:\w+:(rate5m|bool)$/)
  }
})

test('rules name only metrics that exist, or that an earlier rule of the same group records', () => {
  const runtime = new Set<string>(RUNTIME_METRICS)
  for (const { name, rules: members } of rules().groups) {
    const recorded = new Set<string>()
    for (const rule of members) {
      for (const [, metric = ''] of rule.expr.matchAll(/\b((?:millrace|process|nodejs)_\w+)\{/g)) {
        const key = metric.replace(/^millrace_/, '')
        const known = key in METRICS || key.replace(/_(count|sum|bucket)$/, '') in METRICS || runtime.has(metric)
        expect(known, `${name}: ${metric}`).toBe(true)
      }
      for (const [record] of rule.expr.matchAll(/\bmillrace:[\w:]+/g)) expect(recorded, name).toContain(record)
      if ('record' in rule) recorded.add(rule.record)
    }
  }
})

test('what is rendered for the cloud is the same but for the options, within the limits of Managed Prometheus', () => {
  const cloud = parse(rulesYaml({ fleets: [{ maxTasks: 8 }], runbooks: 'https://example.com/runbooks/' }))
  const local = parse(rulesYaml())
  const bare = (document: object) =>
    JSON.stringify(document)
      .replaceAll('https://example.com/runbooks/', 'docs/runbooks/')
      .replaceAll('>= 8"', '>= 1"')
      .replaceAll('all 8 tasks', 'the one task')
  expect(bare(cloud)).toBe(bare(local))
  for (const { interval, rules: members } of local.groups) {
    expect(Number.parseInt(interval, 10)).toBeGreaterThanOrEqual(30)
    expect(members.length).toBeLessThanOrEqual(20)
  }
})

test('names are given once', () => {
  for (const names of [
    alerting.map(({ alert }) => alert),
    every.flatMap((rule) => ('record' in rule ? rule.record : [])),
    rules().groups.map(({ name }) => name),
  ]) {
    expect(new Set(names).size).toBe(names.length)
  }
})

test('compose scrapes the job that rules and dashboards select, with the rules beside it', () => {
  const checkedIn = parse(readFileSync(`${ROOT}infra/monitoring/prometheus/prometheus.yaml`, 'utf8'))
  expect(checkedIn).toMatchObject({
    rule_files: ['rules.yaml'],
    scrape_configs: parse(prometheusYaml({ targets: ['app:9464'], rulesFile: 'rules.yaml', scrapeMs: 5000 }))
      .scrape_configs,
  })
})
