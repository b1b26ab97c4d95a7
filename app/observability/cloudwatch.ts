/**
 * Publishes the metrics that autoscaling and alarms in AWS use. It needs no agent and no permission: CloudWatch reads
 * lines in its Embedded Metric Format from the log stream of the container. Format:
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 *
 * `infra/` takes namespace, names and dimensions from here, so that no policy can name a metric that is not published.
 */
export const CLOUDWATCH = {
  namespace: 'Millrace',
  /** Every metric carries exactly these; values are the ENVIRONMENT and ROLE of the process. */
  dimensions: ['Environment', 'Role'],
  /** 0–1, see `millrace_saturation_ratio`. */
  saturation: 'SaturationRatio',
  /** Lag of the slowest sink of this process, events. */
  lag: 'DeliveryLagEvents',
  /**
   * 0–1. Scaling uses this one: more tasks help a busy event loop, but not a channel that fills behind a slow broker.
   */
  loopUse: 'EventLoopUse',
  /** Largest lag of the sinks that work: more tasks do not help a failing sink. */
  workingLag: 'WorkingSinkLagEvents',
} as const

const METRICS = [
  { Name: CLOUDWATCH.saturation, Unit: 'None' },
  { Name: CLOUDWATCH.lag, Unit: 'Count' },
  { Name: CLOUDWATCH.loopUse, Unit: 'None' },
  { Name: CLOUDWATCH.workingLag, Unit: 'Count' },
]

export interface CloudWatchReading {
  readonly saturation: number
  readonly loopUse: number
  readonly sinks: readonly { readonly waitingEvents: number; readonly failing: boolean }[]
}

/** One line, without a newline at its end. Zero is published, too: without data, a policy never scales in. */
export function emfLine(environment: string, role: string, reading: CloudWatchReading, timestampMs: number): string {
  return JSON.stringify({
    _aws: {
      Timestamp: timestampMs,
      CloudWatchMetrics: [{ Namespace: CLOUDWATCH.namespace, Dimensions: [CLOUDWATCH.dimensions], Metrics: METRICS }],
    },
    Environment: environment,
    Role: role,
    [CLOUDWATCH.saturation]: ratio(reading.saturation),
    [CLOUDWATCH.lag]: lagOf(reading.sinks),
    [CLOUDWATCH.loopUse]: ratio(reading.loopUse),
    [CLOUDWATCH.workingLag]: lagOf(reading.sinks.filter(({ failing }) => !failing)),
  })
}

function ratio(value: number): number {
  return Math.round(value * 10_000) / 10_000
}

function lagOf(sinks: CloudWatchReading['sinks']): number {
  return Math.max(0, ...sinks.map(({ waitingEvents }) => waitingEvents))
}

export interface CloudWatchOptions {
  /** Milliseconds between two lines; 0: nothing is published. */
  readonly intervalMs: number
  readonly environment: string
  readonly role: string
  readonly read: () => CloudWatchReading
  readonly write: (line: string) => void
}

/** Publishes at once, and then at every interval, until the returned function is called. */
export function publishToCloudWatch({ intervalMs, environment, role, read, write }: CloudWatchOptions): () => void {
  if (intervalMs === 0) return () => undefined
  const publish = () => write(`${emfLine(environment, role, read(), Date.now())}\n`)
  publish()
  const timer = setInterval(publish, intervalMs).unref()
  return () => clearInterval(timer)
}
