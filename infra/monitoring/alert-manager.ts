/**
 * Who is told of alerts in the cloud. The alert manager of Managed Prometheus speaks to SNS, signed for a region, and to
 * PagerDuty, whose key it reads from Secrets Manager; its configuration is wrapped into one key.
 * Source: https://docs.aws.amazon.com/prometheus/latest/userguide/AMP-alertmanager-config.html
 */
import { stringify } from 'yaml'
import type { Account } from '../environment.ts'

/** @param environment whose alerts they are: rules that add tasks up have no label that says so. */
export function alertManagerConfig({ region, pagerDuty }: Account, environment: string, topicArn: string): string {
  const subject = `${environment}: ${SUBJECT}`
  const receiver = (name: string) => ({
    name,
    sns_configs: [{ topic_arn: topicArn, sigv4: { region }, send_resolved: true, subject, message: MESSAGE }],
  })
  const pager = pagerDuty && {
    pagerduty_configs: [
      {
        routing_key: { aws_secrets_manager: { secret_arn: pagerDuty.secretArn, secret_key: pagerDuty.secretKey } },
        description: subject,
      },
    ],
  }
  return stringify({
    alertmanager_config: stringify({
      route: {
        receiver: 'tickets',
        group_by: ['alertname'],
        group_wait: '30s',
        group_interval: '5m',
        repeat_interval: '24h',
        routes: [{ receiver: 'pages', matchers: ['severity = page'], repeat_interval: '1h' }],
      },
      receivers: [{ ...receiver('pages'), ...pager }, receiver('tickets')],
    }),
  })
}

const SUBJECT = '[{{ .Status }}] {{ .CommonLabels.severity }}: {{ .CommonLabels.alertname }}'
const MESSAGE = `{{ range .Alerts }}{{ .Annotations.summary }}
{{ .Annotations.description }}
{{ .Annotations.runbook_url }}

{{ end }}`
