import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { resourcesOf, synth, temporaryProject } from '../support/synth.ts'

const { stacks } = synth()
const monitoring = [...stacks.values()].filter(({ name }) => name.endsWith('-monitoring'))

test('the collector scrapes the port that the app serves metrics on, under the job that the rules look for', () => {
  for (const { at, block } of resourcesOf(monitoring, 'aws_ssm_parameter')) {
    const config = parse(String(block.value))
    const [scrape] = config.receivers.prometheus.config.scrape_configs
    expect(scrape, at).toMatchObject({ job_name: 'millrace', static_configs: [{ targets: ['127.0.0.1:9464'] }] })
    expect(config.exporters.prometheusremotewrite.endpoint, at).toMatch(/prometheus_endpoint\}api\/v1\/remote_write$/)
    for (const name of config.service.pipelines.metrics.processors)
      expect(Object.keys(config.processors)).toContain(name)
  }
})

test('every environment has the rules, with its own maximum of tasks and runbooks that can be opened', () => {
  for (const { at, block } of resourcesOf(monitoring, 'aws_prometheus_rule_group_namespace')) {
    const { groups } = parse(String(block.data))
    const rules = groups.flatMap(({ rules }: { rules: { alert?: string }[] }) => rules)
    expect(rules.filter(({ alert }: { alert?: string }) => alert).length, at).toBeGreaterThan(10)
    expect(String(block.data), at).toContain('https://github.com/example/millrace/blob/main/docs/runbooks/')
  }
  const inAll = monitoring.map(({ text }) => /all (\d+) tasks/.exec(text)?.[1])
  expect(new Set(inAll).size).toBe(3)
})

test('the budget counts by a tag that every resource has, and the runbook says how that tag is activated', () => {
  const runbook = readFileSync(new URL('../../docs/runbooks/deploy.md', import.meta.url), 'utf8')
  const budgets = resourcesOf(monitoring, 'aws_budgets_budget')
  expect(budgets).toHaveLength(3)
  for (const { at, block } of budgets) {
    const [{ name, values }] = block.cost_filter as [{ name: string; values: string[] }]
    const [, key = '', value] = /^user:(\w+)\$(\w+)$/.exec(values[0] ?? '') ?? []
    expect([name, values.length], at).toEqual(['TagKeyValue', 1])
    expect(runbook, at).toContain(`--cost-allocation-tags-status TagKey=${key},Status=Active`)
    for (const { name: stack, json } of stacks.values()) {
      if (!stack.startsWith(`${value}-`)) continue
      const { aws } = json.provider as { aws: [{ default_tags: [{ tags: Record<string, string> }] }] }
      expect(aws[0].default_tags[0].tags[key], stack).toBe(value)
    }
  }
})

test('pages and tickets reach the topic, signed for the region; pages reach PagerDuty when it is configured', () => {
  const definition = (all: typeof monitoring) =>
    resourcesOf(all, 'aws_prometheus_alert_manager_definition').map(({ block }) =>
      parse(parse(String(block.definition)).alertmanager_config),
    )
  const definitions = definition(monitoring)
  const subjects: string[] = []
  expect(definitions).toHaveLength(3)
  for (const { route, receivers } of definitions) {
    expect(receivers.map(({ name }: { name: string }) => name)).toEqual(['pages', 'tickets'])
    expect(route.routes[0]).toMatchObject({ receiver: 'pages', matchers: ['severity = page'] })
    for (const { sns_configs, pagerduty_configs } of receivers) {
      expect(sns_configs[0]).toMatchObject({ sigv4: { region: 'eu-central-1' }, send_resolved: true })
      subjects.push(sns_configs[0].subject)
      expect(pagerduty_configs).toBeUndefined()
    }
  }
  // Each names its environment: what adds tasks up has no label that does.
  expect(new Set(subjects.map((subject) => /^(\w+): \[/.exec(subject)?.[1]))).toEqual(
    new Set(['dev', 'staging', 'prod']),
  )
  const secretArn = 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:pager'
  const edited = temporaryProject([
    ['alertsEmail:', `pagerDuty: { secretArn: '${secretArn}', secretKey: 'key' },\n  alertsEmail:`],
    ['apiKeyVersion: 1', 'managedGrafana: true,\n    apiKeyVersion: 1'],
  ])
  const { code, stderr, stacks: others } = synth(edited)
  expect([code, stderr]).toEqual([0, ''])
  const prod = [...others.values()].filter(({ name }) => name === 'prod-monitoring')
  const [{ receivers }] = definition(prod)
  expect(receivers[0].pagerduty_configs[0].routing_key.aws_secrets_manager.secret_arn).toBe(secretArn)
  expect(receivers[0].pagerduty_configs[0].description).toMatch(/^prod: \[/)
  expect(receivers[1].pagerduty_configs).toBeUndefined()
  expect(resourcesOf(prod, 'aws_grafana_workspace')).toHaveLength(1)
})

test('alarms reach the topic, and say when it is over', () => {
  const alarms = resourcesOf(stacks.values(), 'aws_cloudwatch_metric_alarm')
  expect(alarms.length).toBeGreaterThan(20)
  for (const { at, block } of alarms) {
    expect(block.alarm_actions, at).toHaveLength(1)
    expect(block.ok_actions, at).toEqual(block.alarm_actions)
    expect(String(block.alarm_description), at).toMatch(/\w+ \w+/)
  }
})
