/** Configuration of the AWS Distro for OpenTelemetry beside each task: scrape the app, write to Managed Prometheus. */
import { SsmParameter } from '@cdktf/provider-aws/lib/ssm-parameter/index.js'
import { Token } from 'cdktf'
import type { Construct } from 'constructs'
import { collectorParameter } from '../names.ts'
import { JOB } from './promql.ts'

export interface CollectorOptions {
  readonly region: string
  /** Of Managed Prometheus: `https://…/api/v1/remote_write`. */
  readonly remoteWriteUrl: string
  /** Its name. */
  readonly environment: string
}

/** The collector reads it from its environment when it starts. Doubled, so that Terraform leaves it alone. */
const OF_CONTAINER = '$${env:ROLE}'

/** Puts it where tasks read it. @returns its version: tasks that name another one are started again. */
export function addCollector(scope: Construct, options: CollectorOptions): string {
  const parameter = new SsmParameter(scope, 'collector', {
    name: collectorParameter({ name: options.environment }),
    description: 'Configuration of the metrics collector beside each task',
    type: 'String',
    tier: 'Intelligent-Tiering',
    value: collectorConfig(options),
  })
  return Token.asString(parameter.version)
}

/** As JSON, which is YAML too. */
export function collectorConfig({ region, remoteWriteUrl, environment }: CollectorOptions): string {
  return JSON.stringify({
    extensions: { health_check: {}, sigv4auth: { region, service: 'aps' } },
    receivers: {
      prometheus: {
        config: {
          global: { scrape_interval: '15s', scrape_timeout: '10s' },
          scrape_configs: [
            { job_name: JOB, static_configs: [{ targets: ['127.0.0.1:9464'], labels: { role: OF_CONTAINER } }] },
          ],
        },
      },
    },
    processors: {
      // Which task a series comes from, as its `instance`: each would be 127.0.0.1:9464.
      resourcedetection: { detectors: ['ecs'] },
      resource: { attributes: [{ key: 'service.instance.id', from_attribute: 'aws.ecs.task.id', action: 'upsert' }] },
      memory_limiter: { check_interval: '1s', limit_mib: 200 },
      batch: {},
    },
    exporters: {
      prometheusremotewrite: {
        endpoint: remoteWriteUrl,
        auth: { authenticator: 'sigv4auth' },
        external_labels: { environment },
        resource_to_telemetry_conversion: { enabled: true },
      },
    },
    service: {
      extensions: ['health_check', 'sigv4auth'],
      pipelines: {
        metrics: {
          receivers: ['prometheus'],
          processors: ['memory_limiter', 'resourcedetection', 'resource', 'batch'],
          exporters: ['prometheusremotewrite'],
        },
      },
    },
  })
}
