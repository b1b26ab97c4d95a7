/** The soak as one SVG that needs nothing else: a strip for each quantity, with the trend of its second half. */
import { type Sample, trend } from './soak-samples.ts'

const WIDTH = 960
const LEFT = 64
const RIGHT = 32
const TOP = 56
const STRIP = 104
const PLOT = 68
/** Points drawn in one strip; more would be one above the other. */
const POINTS = 450

const STRIPS: readonly (readonly [keyof Sample, string])[] = [
  ['rssMb', 'resident memory, MB'],
  ['heapMb', 'heap in use, MB'],
  ['files', 'open files'],
  ['loopLagMs', 'event loop lag p99, ms'],
  ['writeP99Ms', 'write p99, ms'],
  ['clientP99Ms', 'p99 as clients see it, ms'],
  ['lagEvents', 'slowest sink behind, events'],
  ['logMb', 'log, MB'],
]

export function chart(
  samples: readonly Sample[],
  run: { minutes: number; eventsPerSecond: number; node: string },
): string {
  const height = TOP + STRIPS.length * STRIP + 28
  const lastSecond = Math.max(1, samples.at(-1)?.seconds ?? 1)
  const x = (seconds: number) => LEFT + (seconds / lastSecond) * (WIDTH - LEFT - RIGHT)
  const strips = STRIPS.map(([of, title], at) => strip(samples, of, title, TOP + at * STRIP, x))
  const step = niceStep(lastSecond / 60)
  const ticks = Array.from({ length: Math.floor(lastSecond / 60 / step) + 1 }, (_, at) => at * step)
  const axis = ticks.map(
    (minute) => `<text x="${x(minute * 60).toFixed(1)}" y="${height - 10}" text-anchor="middle">${minute} min</text>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="#333">
<rect width="100%" height="100%" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="16" font-weight="600">Soak: ${run.minutes} minutes at ${run.eventsPerSecond.toLocaleString('en')} events a second</text>
<text x="${LEFT}" y="42" fill="#666">one and a hundred events a request, sinks file and http, Node ${run.node}; dashed: trend of the second half</text>
${strips.join('\n')}
${axis.join('\n')}
</svg>
`
}

function strip(
  samples: readonly Sample[],
  of: keyof Sample,
  title: string,
  top: number,
  x: (seconds: number) => number,
): string {
  const sound = samples.filter((sample) => Number.isFinite(sample[of]))
  const most = Math.max(...sound.map((sample) => sample[of]), 1e-9)
  const step = niceStep(most, 2)
  const limit = Math.ceil(most / step) * step
  const bottom = top + 16 + PLOT
  const y = (value: number) => bottom - (value / limit) * PLOT
  const every = Math.max(1, Math.ceil(sound.length / POINTS))
  // The largest of each few, so that no peak is hidden.
  const points = Array.from({ length: Math.ceil(sound.length / every) }, (_, at) =>
    sound.slice(at * every, (at + 1) * every).reduce((a, b) => (b[of] > a[of] ? b : a)),
  ).map((sample) => `${x(sample.seconds).toFixed(1)},${y(sample[of]).toFixed(1)}`)
  const lines = [0, limit / 2, limit].map(
    (value) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/><text x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end" fill="#666">${Number(value.toPrecision(3)).toLocaleString('en')}</text>`,
  )
  return `<text x="${LEFT}" y="${top + 10}" font-weight="600">${title}</text>
${lines.join('')}
<polyline points="${points.join(' ')}" fill="none" stroke="#1668c7" stroke-width="1.2"/>
${trendLine(sound.slice(Math.floor(sound.length / 2)), of, x, y)}`
}

function trendLine(
  half: readonly Sample[],
  of: keyof Sample,
  x: (seconds: number) => number,
  y: (value: number) => number,
): string {
  const [first, last] = [half[0], half.at(-1)]
  if (first === undefined || last === undefined || first === last) return ''
  const { slope, seconds: middle, value } = trend(half, of)
  const at = ({ seconds }: Sample) => y(value + slope * (seconds - middle)).toFixed(1)
  return `<line x1="${x(first.seconds).toFixed(1)}" y1="${at(first)}" x2="${x(last.seconds).toFixed(1)}" y2="${at(last)}" stroke="#c2410c" stroke-width="1.5" stroke-dasharray="6 4"/>`
}

/** 1, 2 or 5 times a power of ten, so that about `parts` of them make `most`. */
function niceStep(most: number, parts = 6): number {
  const power = 10 ** Math.floor(Math.log10(most / parts))
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= most / parts) ?? 10 * power
}
