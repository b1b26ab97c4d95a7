/** The generated parts of `docs/scaling.md`: what the model gives, and every figure it rests on. */
import { planScaled } from './capacity.ts'
import type { Load } from './demands.ts'
import { BROKER_TYPES, EVENTS_PER_CORE_SECOND, FIGURES, type PerCore, POINTS, type Point } from './figures.ts'
import { costOfMachine, costOfScaled } from './load-cost.ts'
import { planMachine } from './machine.ts'
import { whole } from './plan.ts'
import { PRICES } from './prices.ts'

const EVENTS_PER_SECOND = [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
const TABLE_LOAD: Omit<Load, 'eventsPerSecond'> = {
  bytesPerEvent: 273,
  eventsPerRequest: 100,
  retentionHours: 24,
  sinks: 1,
  replication: 3,
}

/** A row a load: counts of all deployments together, with what binds in brackets. */
export function plansTable(): string {
  const rows = EVENTS_PER_SECOND.map((eventsPerSecond) => {
    const load = { ...TABLE_LOAD, eventsPerSecond }
    const machine = planMachine(load)
    const scaled = planScaled(load)
    const { deployments, sizes, boundBy } = scaled
    const { ingestTasks, deliverTasks, partitions, brokers, storageGib } = sizes
    const cost = costOfScaled(load, scaled).reduce((sum, { usdPerMonth }) => sum + usdPerMonth, 0)
    const each = deployments === 1 ? '' : `${deployments} × `
    return row([
      whole(eventsPerSecond),
      machine.fits ? `fits, $${whole(costOfMachine(machine))}` : `no (${machine.boundBy.name})`,
      `${each}${ingestTasks} (${boundBy.ingest})`,
      `${each}${deliverTasks} (${boundBy.deliver})`,
      `${each}${partitions} (${boundBy.partitions})`,
      `${each}${brokers.count} × ${brokers.type.type.replace('kafka.', '')} (${boundBy.brokers})`,
      `${whole(storageGib)} GiB (${boundBy.storage})`,
      `$${whole(cost)}`,
    ])
  })
  return table(
    ['events/s', 'one machine', 'ingest', 'deliver', 'partitions', 'brokers', 'storage of each', 'scaled, a month'],
    rows,
  )
}

/** The points that the CPU of tasks is computed from. */
export function measuredTable(): string {
  const rows = Object.entries<PerCore>(EVENTS_PER_CORE_SECOND).flatMap(([name, rates]) =>
    Object.entries<Point>(POINTS).flatMap(([point, { events, bytes }]) => {
      const rate = rates[point as keyof typeof POINTS]
      if (rate === undefined) return []
      return [row([`\`${name}.${point}\``, whole(events), whole(bytes), whole(rate), rates.source])]
    }),
  )
  return table(['figure', 'events in a request', 'bytes of an event', 'events/core-second', 'from'], rows)
}

export function figuresTable(): string {
  const rows = Object.entries(FIGURES).map(([name, { value, unit, what, source }]) =>
    row([`\`${name}\``, `${whole(value) === '0' || value % 1 !== 0 ? value : whole(value)} ${unit}`, what, source]),
  )
  return table(['figure', 'value', 'what', 'from'], rows)
}

export function brokersTable(): string {
  const rows = BROKER_TYPES.map(({ type, storageMibps, networkMibps, partitions }) =>
    row([
      `\`${type}\``,
      `${storageMibps}`,
      `${networkMibps}`,
      whole(partitions),
      `$${(PRICES.brokerHour[type] ?? Number.NaN).toFixed(3)}`,
    ]),
  )
  const head = ['broker', 'storage throughput, MiB/s', 'network, MiB/s', 'partitions, copies counted', 'an hour']
  return table(head, rows)
}

function table(head: readonly string[], rows: readonly string[]): string {
  return [row(head), row(head.map(() => '---')), ...rows].join('\n')
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}
