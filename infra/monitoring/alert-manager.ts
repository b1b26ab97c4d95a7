/**
 * Who is told of alerts in the cloud. The alert manager of Managed Prometheus speaks to SNS only, signed for a region;
 * its configuration is wrapped into one key.
 */
import { stringify } from 'yaml'

export function alertManagerConfig(region: string, topicArn: string): string {
  const receiver = (name: string) => ({
    name,
    sns_configs: [{ topic_arn: topicArn, sigv4: { region }, send_resolved: true, subject: SUBJECT, message: MESSAGE }],
  })
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
      receivers: [receiver('pages'), receiver('tickets')],
    }),
  })
}

const SUBJECT = '[{{ .Status }}] {{ .CommonLabels.severity }}: {{ .CommonLabels.alertname }}'
const MESSAGE = `{{ range .Alerts }}{{ .Annotations.summary }}
{{ .Annotations.description }}
{{ .Annotations.runbook_url }}

{{ end }}`
