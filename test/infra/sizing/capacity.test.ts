import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { environments } from '../../../infra/config.ts'
import { TARGETS } from '../../../infra/scale.ts'
import { isWithin, limitsOf, planScaled, type Scaled } from '../../../infra/sizing/capacity.ts'
import { type Brokers, coreSecondsPerEvent, figure, type Load } from '../../../infra/sizing/demands.ts'
import { BROKER_TYPES, EVENTS_PER_CORE_SECOND, type PerCore, POINTS } from '../../../infra/sizing/figures.ts'
import { costOfScaled } from '../../../infra/sizing/load-cost.ts'
import { planMachine } from '../../../infra/sizing/machine.ts'
import { asText } from '../../../infra/sizing/plan.ts'
import { type Second, simulate } from './pipeline-simulation.ts'

const usual: Load = {
  eventsPerSecond: 100_000,
  bytesPerEvent: 273,
  eventsPerRequest: 100,
  retentionHours: 24,
  sinks: 1,
  replication: 3,
}
/** As many small as large ones. */
const magnitudes = (most: number) =>
  fc.double({ min: 0, max: Math.log(most), noNaN: true }).map((log) => Math.min(most, Math.round(Math.exp(log))))
const anyLoad: fc.Arbitrary<Load> = fc
  .record({
    eventsPerSecond: magnitudes(10_000_000),
    bytesPerEvent: magnitudes(2 ** 20),
    eventsPerRequest: magnitudes(10_000),
    retentionHours: magnitudes(3650 * 24),
    sinks: magnitudes(100),
    replication: fc.constantFrom(2, 3),
  })
  .map((load) => ({
    ...load,
    eventsPerRequest: Math.max(1, Math.min(load.eventsPerRequest, Math.floor(2 ** 20 / (load.bytesPerEvent + 1)))),
  }))
const shareOf = (load: Load, { deployments }: Scaled): Load => ({
  ...load,
  eventsPerSecond: load.eventsPerSecond / deployments,
})
const allWithin = (limits: Scaled['limits']) => Object.values(limits).flat().every(isWithin)

describe('a plan', () => {
  test('keeps every limit, whatever the load', () => {
    fc.assert(
      fc.property(anyLoad, (load) => {
        const exceeded = Object.values(planScaled(load).limits)
          .flat()
          .filter((limit) => !isWithin(limit))
        expect(exceeded).toEqual([])
      }),
      { numRuns: 500 },
    )
  })

  test('has none to spare: one task, broker step or GiB less breaks a limit', () => {
    fc.assert(
      fc.property(anyLoad, (load) => {
        const scaled = planScaled(load)
        const { sizes } = scaled
        const share = shareOf(load, scaled)
        const fewer = [
          { ...sizes, ingestTasks: sizes.ingestTasks - 1 },
          { ...sizes, deliverTasks: sizes.deliverTasks - 1 },
          { ...sizes, partitions: sizes.partitions - 1 },
          { ...sizes, storageGib: sizes.storageGib - 1 },
        ]
        for (const less of fewer) expect(allWithin(limitsOf(share, less)), JSON.stringify(less)).toBe(false)
        for (const brokers of fewerBrokers(sizes.brokers)) {
          expect(limitsOf(share, { ...sizes, brokers }).brokers.every(isWithin), JSON.stringify(brokers)).toBe(false)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('needs no fewer tasks, partitions or brokers for more events', () => {
    fc.assert(
      fc.property(anyLoad, magnitudes(10_000_000), (load, other) => {
        const [less, more] = [load.eventsPerSecond, other]
          .sort((a, b) => a - b)
          .map((eventsPerSecond) => {
            const { deployments, sizes } = planScaled({ ...load, eventsPerSecond })
            const { ingestTasks, deliverTasks, partitions, brokers } = sizes
            return [ingestTasks, deliverTasks, partitions, brokers.count].map((count) => deployments * count)
          })
        for (const [at, count] of (less ?? []).entries()) expect(count).toBeLessThanOrEqual(more?.[at] ?? 0)
      }),
      { numRuns: 500 },
    )
  })

  test('costs a finite sum, and says what binds each number', () => {
    fc.assert(
      fc.property(anyLoad, (load) => {
        const scaled = planScaled(load)
        for (const { usdPerMonth } of costOfScaled(load, scaled)) expect(usdPerMonth).toBeGreaterThanOrEqual(0)
        for (const name of Object.values(scaled.boundBy)) expect(name).not.toBe('')
        for (const line of asText(load)) expect(line).not.toMatch(/NaN|Infinity|undefined/)
      }),
    )
  })

  test('uses what the formulas of docs/scaling.md say, by hand', () => {
    const { sizes, limits, deployments } = planScaled({ ...usual, sinks: 2 })
    const { ingestTasks, deliverTasks, partitions, brokers } = sizes
    const used = (part: keyof Scaled['limits'], name: string) => limits[part].find((limit) => limit.name === name)?.used
    const topic = (100_000 * (273 + 64)) / 2 ** 20
    const { kafkaIngestEventsPerCoreSecond: ingest, kafkaDeliverEventsPerCoreSecond: deliver } = EVENTS_PER_CORE_SECOND
    expect(deployments).toBe(1)
    expect(used('ingest', 'CPU')).toBeCloseTo(100_000 / ingest.batch / ingestTasks)
    expect(used('ingest', 'network')).toBeCloseTo(topic / ingestTasks)
    expect(used('deliver', 'CPU')).toBeCloseTo((2 * 100_000) / deliver.batch / deliverTasks)
    expect(used('deliver', 'network')).toBeCloseTo((2 * topic) / deliverTasks)
    expect(used('partitions', 'throughput of a partition')).toBeCloseTo(topic / partitions)
    expect(used('brokers', 'storage throughput')).toBeCloseTo((topic * 6.5) / brokers.count)
    expect(used('brokers', 'network')).toBeCloseTo((topic * (5.7 + 2 * 1.5)) / brokers.count)
    expect(used('brokers', 'partitions of a broker')).toBeCloseTo((partitions * 3) / brokers.count)
    const storedGib = (topic * 24 * 3600 * 3) / 1024 + partitions * 3
    expect(used('brokers', 'space')).toBeCloseTo(storedGib / brokers.count)
    expect(sizes.storageGib).toBe(Math.ceil(storedGib / brokers.count / 0.6))
    expect(used('deployment', 'connections to a broker')).toBe(2 * ingestTasks + 2 * 5 * deliverTasks)
  })

  test('for one machine fits up to the events that it names, and not beyond', () => {
    fc.assert(
      fc.property(anyLoad, (load) => {
        const { fits, mostEventsPerSecond: most } = planMachine(load)
        expect(fits).toBe(load.eventsPerSecond <= most)
        if (most >= 1) expect(planMachine({ ...load, eventsPerSecond: most }).fits).toBe(true)
        expect(planMachine({ ...load, eventsPerSecond: most + 1 }).fits).toBe(false)
      }),
    )
  })
})

/** As many of the next smaller type, and three fewer of the largest. */
function fewerBrokers({ type, count }: Brokers): readonly Brokers[] {
  const smaller = BROKER_TYPES[BROKER_TYPES.indexOf(type) - 1]
  const largest = BROKER_TYPES.at(-1)
  return [
    ...(smaller ? [{ type: smaller, count }] : []),
    ...(largest && count > 3 ? [{ type: largest, count: count - 3 }] : []),
  ]
}

/** All of them large enough for their work, not the least number, to decide. */
const cases: Readonly<Record<string, Load>> = {
  'small events, many a request': { ...usual, eventsPerSecond: 1_000_000, retentionHours: 1 },
  'one event a request': { ...usual, eventsPerSecond: 400_000, eventsPerRequest: 1, retentionHours: 1 },
  'large events': { ...usual, eventsPerSecond: 20_000, bytesPerEvent: 16_384, eventsPerRequest: 16, retentionHours: 1 },
  'eight sinks': { ...usual, eventsPerSecond: 560_000, sinks: 8, retentionHours: 1 },
}
const repeat = (seconds: number, second: (at: number) => Second) =>
  Array.from({ length: seconds }, (_, at) => second(at))

describe.each(Object.entries(cases))('in simulation, %s:', (_name, load) => {
  const scaled = planScaled(load)
  const { sizes } = scaled
  const share = shareOf(load, scaled)
  const peak = share.eventsPerSecond
  /** What tasks are planned to leave free, used up. */
  const burst = peak / figure('taskUse')

  test('a day whose top is the planned load is delivered as it comes, within what was planned', () => {
    // A second of the simulation is a minute of the day.
    const day = repeat(24 * 60, (at) => ({ eventsPerSecond: (peak * (1 - Math.cos((2 * Math.PI * at) / 1440))) / 2 }))
    const { refusedEvents, mostLagEvents, partitionUse, storageUse, networkUse } = simulate(share, sizes, day)
    expect({ refusedEvents, mostLagEvents }).toEqual({ refusedEvents: 0, mostLagEvents: 0 })
    expect(partitionUse).toBeLessThanOrEqual(figure('taskUse'))
    expect(Math.max(storageUse, networkUse)).toBeLessThanOrEqual(figure('brokerUse'))
  })

  test('a burst that uses up the room of tasks is taken; with one task less it is not', () => {
    const seconds = repeat(300, () => ({ eventsPerSecond: burst * (1 - 1e-9) }))
    const planned = simulate(share, sizes, seconds)
    expect(planned.refusedEvents).toBe(0)
    expect(planned.lagEvents).toBeLessThan(1)
    expect(planned.partitionUse).toBeLessThanOrEqual(1)
    const { ingestTasks, deliverTasks } = sizes
    expect(ingestTasks).toBeGreaterThan(figure('ingestMinTasks'))
    expect(simulate(share, { ...sizes, ingestTasks: ingestTasks - 1 }, seconds).refusedEvents).toBeGreaterThan(burst)
    expect(deliverTasks).toBeGreaterThan(figure('deliverMinTasks'))
    expect(simulate(share, { ...sizes, deliverTasks: deliverTasks - 1 }, seconds).lagEvents).toBeGreaterThan(burst)
  })

  test('ten minutes without delivery are made up for in less than twenty', () => {
    const stopped = repeat(600, () => ({ eventsPerSecond: peak, deliveryStopped: true }))
    const after = repeat(1200, () => ({ eventsPerSecond: peak }))
    const { mostLagEvents, lagEvents } = simulate(share, sizes, [...stopped, ...after])
    expect(mostLagEvents / peak).toBeCloseTo(600)
    expect(lagEvents / peak).toBeCloseTo(0)
  })

  test('brokers bear their worst hour at twice the load; one step smaller they do not', () => {
    const seconds = repeat(60, () => ({ eventsPerSecond: peak / figure('brokerUse'), worst: true }))
    const strong = { ...sizes, ingestTasks: 2 * sizes.ingestTasks, deliverTasks: 2 * sizes.deliverTasks }
    const { storageUse, networkUse } = simulate(share, strong, seconds)
    expect(Math.max(storageUse, networkUse)).toBeLessThanOrEqual(1)
    expect(scaled.boundBy.brokers).toMatch(/storage throughput|network/)
    for (const brokers of fewerBrokers(sizes.brokers)) {
      const fewer = simulate(share, { ...strong, brokers }, seconds)
      expect(Math.max(fewer.storageUse, fewer.networkUse)).toBeGreaterThan(1)
    }
  })
})

describe('the figures', () => {
  test.each(Object.entries<PerCore>(EVENTS_PER_CORE_SECOND))(
    '%s: the model gives what was measured',
    (_name, rates) => {
      for (const [name, { events, bytes }] of Object.entries(POINTS)) {
        const rate = rates[name as keyof typeof POINTS]
        if (rate !== undefined) expect(1 / coreSecondsPerEvent(rates, bytes, events)).toBeCloseTo(rate)
      }
      // Nothing is for nothing: an event without bytes costs something, more bytes cost more, more events a request less.
      const cost = (bytes: number, events: number) => coreSecondsPerEvent(rates, bytes, events)
      expect(cost(0, 1e9)).toBeGreaterThan(0)
      expect(cost(1000, 100)).toBeGreaterThan(cost(100, 100))
      expect(cost(100, 100)).toBeLessThanOrEqual(cost(100, 1))
    },
  )

  test('are those of what is deployed', () => {
    const prod = environments.find(({ name }) => name === 'prod')
    expect([figure('taskUse'), figure('taskUse')]).toEqual([TARGETS.cpuPercent / 100, TARGETS.loopUse])
    expect(figure('ingestMinTasks')).toBe(prod?.tasks.ingest?.minTasks)
    expect(figure('deliverMinTasks')).toBe(prod?.tasks.deliver?.minTasks)
    expect(figure('zones')).toBe(prod?.zones.length)
  })
})
