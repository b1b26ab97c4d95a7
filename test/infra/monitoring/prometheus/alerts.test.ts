/** Every alert under the real rule engine: it fires when it should, not when it should not, and it ends. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { account } from '../../../../infra/config.ts'
import { alertManagerConfig } from '../../../../infra/monitoring/alert-manager.ts'
import { alerts, rules, rulesYaml } from '../../../../infra/monitoring/rules.ts'
import { temporaryDirectory } from '../../../support/temporary.ts'
import { PROMTOOL } from './programs.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'
import type { Series } from './series.ts'

/** As a scaled environment has them, and as anybody else has it. */
const FLEETS = [{ maxTasks: 2 }]
const run = promisify(execFile)

/** The program's own words when it fails are the best message there is. */
async function promtool(...args: string[]): Promise<string> {
  const { stdout } = await run(PROMTOOL.path, args).catch((error) => {
    throw new Error(`${error.stdout}${error.stderr}`)
  })
  return stdout
}

/** What the alert says with these values in the places of its template. */
function expected({ alert, labels = {}, value, fleets = FLEETS }: Scenario) {
  const rule = rules({ fleets })
    .groups.flatMap((group) => group.rules)
    .flatMap((candidate) => ('alert' in candidate && candidate.alert === alert ? candidate : []))
    // A role may have a rule of its own.
    .find((candidate) => candidate.labels.role === undefined || candidate.labels.role === labels.role)
  if (rule === undefined) throw new Error(`no alert ${alert}`)
  const fill = (template: string) =>
    template
      .replace(/{{ with \$labels\.(\w+) }}(.*?){{ \. }}{{ end }}/g, (_, label: string, before: string) =>
        labels[label] === undefined ? '' : before + labels[label],
      )
      .replace(/{{ \$labels\.(\w+) }}/g, (_, label: string) => labels[label] ?? '')
      .replace(/{{ \$value(?: \| \w+)? }}/g, value ?? 'no value given')
  const { summary, description, runbook_url } = rule.annotations
  return {
    exp_labels: { ...rule.labels, ...labels },
    exp_annotations: { summary: fill(summary), description: fill(description), runbook_url },
  }
}

async function evaluate(scenario: Scenario, series: Series, atStep: number, fires: boolean): Promise<void> {
  const directory = temporaryDirectory()
  const { alert, step = 1, fleets = FLEETS } = scenario
  writeFileSync(join(directory, 'rules.yaml'), rulesYaml({ fleets }))
  const testFile = join(directory, 'test.yaml')
  const unit = {
    interval: `${step}m`,
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [
      { eval_time: `${atStep * step}m`, alertname: alert, exp_alerts: fires ? [expected(scenario)] : [] },
    ],
  }
  writeFileSync(testFile, stringify({ rule_files: ['rules.yaml'], evaluation_interval: `${step}m`, tests: [unit] }))
  expect(await promtool('test', 'rules', testFile)).toContain('SUCCESS')
}

test('every alert has a scenario, and the other way round', () => {
  expect(new Set(SCENARIOS.map(({ alert }) => alert))).toEqual(
    new Set(alerts({ fleets: [{ minTasks: 2, maxTasks: 3 }] }).map(({ alert }) => alert)),
  )
})

describe('an alert says whose it is', () => {
  const ofCollectors = SCENARIOS.filter(({ where }) => !/scrapes itself/.test(where ?? ''))
  const labelsOf = (scenario: Scenario) => expected(scenario).exp_labels as Readonly<Record<string, string | undefined>>

  test.each(ofCollectors)('$alert: the role, and the task where it is of one', (scenario) => {
    const { summary, description } = expected(scenario).exp_annotations
    const { role, instance } = labelsOf(scenario)
    // That nobody answers at all is of the whole environment; and where fleets have no role, their rules name none.
    const { alert, fleets } = scenario
    const isOfAll =
      alert === 'MillraceTargetMissing' || (alert === 'MillraceSaturatedAtMaximum' && fleets === undefined)
    if (!isOfAll) expect(`${summary} ${description}`).toContain(` of ${role} `)
    if (instance !== undefined) expect(summary).toContain(instance)
  })

  test('those of one task are what only a task can have', () => {
    const ofTask = ofCollectors.filter((scenario) => labelsOf(scenario).instance !== undefined)
    expect([...new Set(ofTask.map(({ alert }) => alert))].sort()).toEqual(
      ['LogFailed', 'LogNearlyFull', 'SyncSlow', 'TargetDown'].map((name) => `Millrace${name}`),
    )
  })

  test('rules of the same name for two roles are two alerts', () => {
    const fleets = ['ingest', 'deliver'].map((role) => ({ role, minTasks: 2, maxTasks: 3 }))
    const alerting = rules({ fleets }).groups.flatMap((group) => group.rules)
    const keys = alerting.flatMap((rule) => ('alert' in rule ? `${rule.alert} ${JSON.stringify(rule.labels)}` : []))
    expect(keys.filter((key) => key.includes('BelowMinimum') || key.includes('AtMaximum'))).toHaveLength(4)
    expect(new Set(keys).size).toBe(keys.length)
  })

  test('the environment is in the subject of each message, as nothing that adds tasks up has it as a label', () => {
    const { alertmanager_config: text } = parse(alertManagerConfig(account, 'prod', 'arn:aws:sns:topic'))
    const { receivers } = parse(text) as { receivers: { sns_configs: { subject: string }[] }[] }
    expect(receivers).toHaveLength(2)
    for (const { sns_configs } of receivers) expect(sns_configs[0]?.subject).toMatch(/^prod: .*alertname/)
    const pager = { secretArn: 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:pager', secretKey: 'key' }
    const withPager = parse(alertManagerConfig({ ...account, pagerDuty: pager }, 'prod', 'arn:aws:sns:topic'))
    const [pages] = parse(withPager.alertmanager_config).receivers
    expect(pages.pagerduty_configs[0].description).toMatch(/^prod: .*alertname/)
  })
})

test.skipIf(PROMTOOL.missing)(`promtool check rules${PROMTOOL.why}`, async () => {
  const file = join(temporaryDirectory(), 'rules.yaml')
  writeFileSync(file, rulesYaml())
  expect(await promtool('check', 'rules', '--lint=all', '--lint-fatal', file)).toMatch(/SUCCESS: \d+ rules found/)
})

describe.skipIf(PROMTOOL.missing)(`promtool test rules${PROMTOOL.why}`, () => {
  describe.each(SCENARIOS.map((scenario) => ({ ...scenario, name: scenario.alert + (scenario.where ?? '') })))(
    '$name',
    (scenario) => {
      const { breaks, firesAt, notYetAt, resetsAt, calm } = scenario
      test('fires', () => evaluate(scenario, breaks, firesAt, true))
      test('ends when it is mended', () => evaluate(scenario, breaks, resetsAt, false))
      if (notYetAt !== undefined) test('waits before it fires', () => evaluate(scenario, breaks, notYetAt, false))
      test.each(Object.entries(calm))('does not fire: %s', (_, series) => evaluate(scenario, series, firesAt, false))
    },
  )
})
