import { expect, test, vi } from 'vitest'
import { CLOUDWATCH, emfLine, publishToCloudWatch } from '../../app/observability/cloudwatch.ts'

const READING = {
  saturation: 0.123456,
  loopUse: 0.0987654,
  sinks: [
    { waitingEvents: 7000, failing: true },
    { waitingEvents: 12, failing: false },
    { waitingEvents: 3, failing: false },
  ],
}

test('a line names the metrics it carries and has a value for each dimension and metric', () => {
  const line = emfLine('prod', 'ingest', READING, 1_700_000_000_000)
  expect(line).not.toContain('\n')
  const parsed = JSON.parse(line)
  expect(parsed._aws.Timestamp).toBe(1_700_000_000_000)
  const [directive, ...others] = parsed._aws.CloudWatchMetrics
  expect(others).toEqual([])
  expect(directive.Namespace).toBe('Millrace')
  expect(directive.Dimensions).toEqual([['Environment', 'Role']])
  for (const dimension of directive.Dimensions[0]) expect(parsed[dimension]).toBeTypeOf('string')
  for (const { Name } of directive.Metrics) expect(parsed[Name]).toBeTypeOf('number')
  expect(parsed).toMatchObject({ Environment: 'prod', Role: 'ingest', SaturationRatio: 0.1235, EventLoopUse: 0.0988 })
})

test('a sink that fails is behind, and no reason for more tasks', () => {
  expect(JSON.parse(emfLine('prod', 'deliver', READING, 0))).toMatchObject({
    DeliveryLagEvents: 7000,
    WorkingSinkLagEvents: 12,
  })
  expect(JSON.parse(emfLine('prod', 'ingest', { ...READING, sinks: [] }, 0))).toMatchObject({
    DeliveryLagEvents: 0,
    WorkingSinkLagEvents: 0,
  })
})

test('publishes at once and at every interval, zero included, until it is stopped', () => {
  vi.useFakeTimers()
  try {
    const lines: string[] = []
    const read = () => ({ saturation: 0, loopUse: 0, sinks: [] })
    const write = (line: string) => lines.push(line)
    const stop = publishToCloudWatch({ intervalMs: 1000, environment: 'dev', role: 'all', read, write })
    vi.advanceTimersByTime(2500)
    expect(lines).toHaveLength(3)
    expect(JSON.parse(lines[0] ?? '')[CLOUDWATCH.saturation]).toBe(0)
    stop()
    vi.advanceTimersByTime(5000)
    expect(lines).toHaveLength(3)
    publishToCloudWatch({ intervalMs: 0, environment: 'dev', role: 'all', read, write })()
    expect(lines).toHaveLength(3)
  } finally {
    vi.useRealTimers()
  }
})
