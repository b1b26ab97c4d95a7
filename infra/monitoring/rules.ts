/**
 * Recording rules and alerts as one document, the same for a local Prometheus and for Amazon Managed Prometheus, which
 * both read this YAML. What differs is said in {@link RuleOptions}, never in the rules.
 */
import { stringify } from 'yaml'
import { type Alert, burnAlerts, deliveryAlerts, type Fleet, fleetAlerts, LAG_RECORD, logAlerts } from './alerts.ts'
import { recordOf, SLOS, WINDOWS } from './slo.ts'

export interface RuleOptions {
  /** What autoscaling may start. Default: one task. */
  readonly fleets?: readonly Fleet[]
  /** Put before the name of a runbook's file. Default: its place in the repository. */
  readonly runbooks?: string
  /** How often rules are evaluated, seconds; Managed Prometheus takes no less than 30. Default: 30. */
  readonly intervalSeconds?: number
}

interface RecordingRule {
  readonly record: string
  readonly expr: string
}

interface AlertingRule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: { readonly severity: string; readonly role?: string }
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string }
}

interface RuleGroups {
  readonly groups: readonly {
    readonly name: string
    readonly interval: string
    readonly rules: readonly (RecordingRule | AlertingRule)[]
  }[]
}

interface Part {
  readonly name: string
  readonly records: readonly RecordingRule[]
  readonly alerts: readonly Alert[]
}

const ONE_TASK: readonly Fleet[] = [{ maxTasks: 1 }]

/** A group is evaluated in order: its alerts see what its records have just recorded. */
function parts(fleets: readonly Fleet[]): readonly Part[] {
  const slos = SLOS.map((slo) => ({
    name: slo.runbook,
    records: [
      ...(slo.before ?? []).map(({ record, expr }) => ({ record, expr })),
      ...WINDOWS.map((window) => ({ record: recordOf(slo, window), expr: slo.errors(window) })),
    ],
    alerts: burnAlerts(slo),
  }))
  return [
    ...slos,
    { name: 'delivery', records: [LAG_RECORD], alerts: deliveryAlerts },
    { name: 'log', records: [], alerts: logAlerts },
    { name: 'fleet', records: [], alerts: fleetAlerts(fleets) },
  ]
}

/** Every alert, with what its condition looks at. */
export function alerts({ fleets = ONE_TASK }: Pick<RuleOptions, 'fleets'> = {}): readonly Alert[] {
  return parts(fleets).flatMap((part) => part.alerts)
}

export function rules(options: RuleOptions = {}): RuleGroups {
  const { fleets = ONE_TASK, runbooks = 'docs/runbooks/', intervalSeconds = 30 } = options
  const groups = parts(fleets).map((part) => ({
    name: `millrace-${part.name}`,
    interval: `${intervalSeconds}s`,
    rules: [...part.records, ...part.alerts.map((alert) => alertingRule(alert, runbooks))],
  }))
  return { groups }
}

function alertingRule(definition: Alert, runbooks: string): AlertingRule {
  const { alert, condition, for: holds, severity, role, summary, description, runbook } = definition
  return {
    alert,
    expr: condition.expr,
    ...(holds !== undefined && { for: holds }),
    labels: { severity, ...(role !== undefined && { role }) },
    annotations: { summary, description, runbook_url: `${runbooks}${runbook}.md` },
  }
}

/** What a rules file of Prometheus holds, and the `data` of a rule group namespace of Managed Prometheus. */
export function rulesYaml(options: RuleOptions = {}): string {
  return stringify(rules(options), { lineWidth: 0 })
}
