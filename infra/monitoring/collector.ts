/** Configuration of the AWS Distro for OpenTelemetry beside each task: scrape the app, write to Managed Prometheus. */
import { JOB } from './promql.ts'

export interface CollectorOptions {
  readonly region: string
  readonly remoteWriteUrl: string
  readonly environment: string
}

/** As JSON, which is YAML too. */
export function collectorConfig({ region, remoteWriteUrl, environment }: CollectorOptions): string {
  return JSON.stringify({
    extensions: { health_check: {}, sigv4auth: { region, service: 'aps' } },
    receivers: {
      prometheus: {
        config: {
          global: { scrape_interval: '15s', scrape_timeout: '10s' },
          scrape_configs: [{ job_name: JOB, static_configs: [{ targets: ['127.0.0.1:9464'] }] }],
        },
      },
    },
    processors: {
      // Which task a series comes from: two tasks must not write the same one.
      resourcedetection: { detectors: ['ecs'] },
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
          processors: ['memory_limiter', 'resourcedetection', 'batch'],
          exporters: ['prometheusremotewrite'],
        },
      },
    },
  })
}
