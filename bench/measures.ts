/** What can be measured: its words, its unit, how it is written. */

interface Description {
  readonly title: string
  /** Behind the figure. */
  readonly unit: string
}

export const MEASURES = {
  requestsPerSecond: { title: 'requests', unit: '/s' },
  eventsPerSecond: { title: 'events', unit: '/s' },
  itemsPerSecond: { title: 'items', unit: '/s' },
  eventsPerCpuSecond: { title: 'events for each second of CPU time', unit: '' },
  acceptedPerSecond: { title: 'accepted', unit: '/s' },
  p50Ms: { title: 'p50', unit: ' ms' },
  p99Ms: { title: 'p99', unit: ' ms' },
  p999Ms: { title: 'p99.9', unit: ' ms' },
  maxMs: { title: 'max', unit: ' ms' },
  ownP99Ms: { title: 'lateness of the generator, p99', unit: ' ms' },
  startMs: { title: 'start to ready', unit: ' ms' },
  seconds: { title: 'time', unit: ' s' },
  nanoseconds: { title: 'time of one', unit: ' ns' },
  scrapeMs: { title: 'a scrape', unit: ' ms' },
  cpuUsPerEvent: { title: 'CPU time of one event', unit: ' µs' },
  cpuUsPerRequest: { title: 'CPU time of one request', unit: ' µs' },
  cpuPercent: { title: 'CPU, of all cores', unit: ' %' },
  restRssMib: { title: 'RSS at rest', unit: ' MiB' },
  peakRssMib: { title: 'peak RSS', unit: ' MiB' },
  rssMibPerMinute: { title: 'growth of RSS', unit: ' MiB/min' },
} as const satisfies Record<string, Description>

export type Measure = keyof typeof MEASURES

/** Three digits that count, with separators: 98,400 · 7.81 · 0.023. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 12 })
}

export function withUnit(value: number, measure: Measure): string {
  return `${figure(value)}${MEASURES[measure].unit}`
}
