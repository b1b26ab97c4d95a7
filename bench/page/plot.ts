/**
 * Plots as SVG, without a library: bars with the spread of the rounds, and lines over time. A plot has its own
 * background and two sets of colours, because the page that shows it is unknown. An SVG that is shown as a picture can
 * still ask for the colour scheme.
 */
import { figure } from '../measures.ts'
import type { Summary } from '../support/statistics.ts'

export interface Bar {
  readonly label: string
  readonly summary: Summary
  /** Drawn in the colour of what the page is about. */
  readonly ours: boolean
}

export interface Line {
  readonly label: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

const WIDTH = 800
const PADDING = 20
const TITLE_HEIGHT = 44
const BAR_HEIGHT = 18
const ROW_HEIGHT = 30
/** Of a letter, of the size that labels have: there is nothing here to measure text with. */
const LETTER_WIDTH = 6.8
/** For the figure behind a bar. */
const FIGURE_WIDTH = 90

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .back { fill: #ffffff; stroke: #d1d9e0 }
  .bar { fill: #9aa4af } .ours { fill: #0969da }
  .spread { stroke: #1f2328; stroke-width: 1.5 }
  .grid { stroke: #d1d9e0 }
  .line { fill: none; stroke-width: 2 } .line0 { stroke: #0969da } .line1 { stroke: #bc4c00 } .line2 { stroke: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .back { fill: #0d1117; stroke: #3d444d }
    .bar { fill: #656c76 } .ours { fill: #4493f8 }
    .spread { stroke: #e6edf3 }
    .grid { stroke: #3d444d }
    .line0 { stroke: #4493f8 } .line1 { stroke: #f0883e } .line2 { stroke: #3fb950 }
  }`

/** @param unit behind each figure. */
export function bars(title: string, unit: string, all: readonly Bar[], logarithmic = false): string {
  const labelWidth = Math.max(...all.map(({ label }) => label.length)) * LETTER_WIDTH
  const left = PADDING + labelWidth + 10
  const room = WIDTH - PADDING - FIGURE_WIDTH - left
  const highest = Math.max(...all.map(({ summary }) => summary.maximum))
  const lowest = Math.min(...all.map(({ summary }) => summary.minimum))
  // A logarithmic bar begins at a power of ten below all of them: it has no zero.
  const from = logarithmic ? Math.floor(Math.log10(lowest)) : 0
  const place = (value: number) =>
    logarithmic ? (room * (Math.log10(value) - from)) / (Math.log10(highest) - from) : (room * value) / highest
  const rows = all.map(({ label, summary, ours }, at) => {
    const top = TITLE_HEIGHT + at * ROW_HEIGHT
    const middle = top + BAR_HEIGHT / 2
    const { median, minimum, maximum } = summary
    const [low, high] = [left + place(minimum), left + place(maximum)]
    return [
      `<text x="${round(left - 10)}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
      `<rect class="${ours ? 'ours' : 'bar'}" x="${round(left)}" y="${top}" width="${round(place(median))}" height="${BAR_HEIGHT}" rx="2"/>`,
      `<path class="spread" d="M${round(low)} ${middle}H${round(high)}M${round(low)} ${middle - 4}v8M${round(high)} ${middle - 4}v8"/>`,
      `<text x="${round(high + 8)}" y="${middle + 4}">${figure(median)}${escaped(unit)}</text>`,
    ].join('\n')
  })
  const subtitle = logarithmic ? `${title} (logarithmic)` : title
  return document(subtitle, TITLE_HEIGHT + all.length * ROW_HEIGHT + PADDING / 2, rows)
}

export function lines(title: string, xUnit: string, yUnit: string, all: readonly Line[]): string {
  const [left, right, top, bottom] = [60, WIDTH - 20, TITLE_HEIGHT + 30, 320]
  const points = all.flatMap((line) => line.points)
  const xEnd = Math.max(...points.map(([x]) => x))
  const xTicks = ticks(xEnd).filter((value) => value <= xEnd)
  const yTicks = ticks(Math.max(...points.map(([, y]) => y)))
  const yEnd = yTicks.at(-1) ?? 1
  const x = (value: number) => round(left + ((right - left) * value) / xEnd)
  const y = (value: number) => round(bottom + ((top - bottom) * value) / yEnd)
  const parts = [
    ...yTicks.flatMap((value) => [
      `<path class="grid" d="M${left} ${y(value)}H${right}"/>`,
      `<text x="${left - 8}" y="${y(value) + 4}" text-anchor="end">${figure(value)}</text>`,
    ]),
    ...xTicks.map((value) => `<text x="${x(value)}" y="${bottom + 20}" text-anchor="middle">${figure(value)}</text>`),
    `<text x="${left}" y="${top - 12}">${escaped(yUnit)}</text>`,
    `<text x="${right}" y="${bottom + 38}" text-anchor="end">${escaped(xUnit)}</text>`,
    ...all.map(
      ({ points }, at) =>
        `<path class="line line${at}" d="M${points.map(([px, py]) => `${x(px)} ${y(py)}`).join('L')}"/>`,
    ),
    ...all.flatMap(({ label }, at) => [
      `<path class="line line${at}" d="M${left + 90 + at * 200} ${top - 16}h24"/>`,
      `<text x="${left + 120 + at * 200}" y="${top - 12}">${escaped(label)}</text>`,
    ]),
  ]
  return document(title, bottom + 50, parts)
}

/** From 0 to at least `highest`, about five of them, by 1, 2 or 5 times a power of ten. */
export function ticks(highest: number): number[] {
  const power = 10 ** Math.floor(Math.log10(highest / 5))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => highest / one <= 6) ?? highest
  return Array.from({ length: Math.ceil(highest / step) + 1 }, (_, at) => at * step)
}

function document(title: string, height: number, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}`,
    '</style>',
    `<rect class="back" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6"/>`,
    `<text class="title" x="${PADDING}" y="28">${escaped(title)}</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

function round(value: number): number {
  return Number(value.toFixed(1))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
