/**
 * What autoscaling and alarms in AWS follow, published without an agent or a permission: CloudWatch reads lines
 * in its Embedded Metric Format from the log stream of the container.
 * Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 *
 * `infra/` takes namespace, names and dimensions from here: a policy cannot follow a metric that nobody publishes.
 */
export const CLOUDWATCH = {
  namespace: 'Millrace',
  /** Every metric carries exactly these; values are the ENVIRONMENT and ROLE of the process. */
  dimensions: ['Environment', 'Role'],
  /** 0–1, see `millrace_saturation_ratio`. */
  saturation: 'SaturationRatio',
  /** Events the slowest sink of this process has still to take. */
  lag: 'DeliveryLagEvents',
  /** 0–1. Scaling follows this one: more tasks help a busy loop, and not a channel that fills up behind a slow broker. */
  loopUse: 'EventLoopUse',
  /** The lag of sinks that take events: while a sink fails, more tasks deliver no more to it. */
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

/** One line, no newline at its end. Zero is published like any other value: a metric without data scales nothing in. */
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
  /** Milliseconds between two lines; 0 publishes nothing. */
  readonly intervalMs: number
  readonly environment: string
  readonly role: string
  readonly read: () => CloudWatchReading
  readonly write: (line: string) => void
}

/** Publishes now and then at every interval, until the returned function is called. */
export function publishToCloudWatch({ intervalMs, environment, role, read, write }: CloudWatchOptions): () => void {
  if (intervalMs === 0) return () => undefined
  const publish = () => write(`${emfLine(environment, role, read(), Date.now())}\n`)
  publish()
  const timer = setInterval(publish, intervalMs).unref()
  return () => clearInterval(timer)
}
