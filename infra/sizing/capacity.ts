/**
 * How many of everything a load needs around Kafka: pure functions over the demands of ./demands.ts.
 *
 *     clients ─▶ ingest ─▶ partitions on brokers ─▶ deliver ─▶ sinks
 *               CPU        storage throughput       CPU, once a sink
 *               network    network, space           network
 *
 * Each number is the smallest that satisfies all its demands; the largest demand is its bound. If a load exceeds the
 * limits of one cluster or one load balancer, it is split over deployments with their own producers. Their number
 * doubles each time, so that a greater load never needs less of anything.
 */
import {
  type Brokers,
  brokerDemands,
  type Demand,
  deliverDemands,
  figure,
  ingestDemands,
  type Load,
  partitionsPerTask,
  plannedPartitionMibps,
  storedGib,
  topicMibps,
} from './demands.ts'
import { BROKER_TYPES, type BrokerType } from './figures.ts'

/** How much is used of what may be used. */
export interface Limit {
  readonly name: string
  readonly used: number
  readonly allowed: number
  readonly unit: string
}

/** Of one deployment. */
export interface Sizes {
  readonly ingestTasks: number
  readonly deliverTasks: number
  readonly partitions: number
  readonly brokers: Brokers
  /** Of each broker. */
  readonly storageGib: number
}

export type Part = 'ingest' | 'deliver' | 'partitions' | 'brokers' | 'storage' | 'deployment'

export interface Scaled {
  /** Each with its share of the load, and with the same sizes. */
  readonly deployments: number
  readonly sizes: Sizes
  readonly limits: Readonly<Record<Part, readonly Limit[]>>
  /** The limit that made each number what it is. */
  readonly boundBy: Readonly<Record<Part, string>>
}

const LARGEST = BROKER_TYPES[BROKER_TYPES.length - 1] as BrokerType

/** A quotient that is whole but for rounding is whole. */
export const TOLERANCE = 1e-9

export function isWithin({ used, allowed }: Limit): boolean {
  return used <= allowed * (1 + TOLERANCE)
}

/** Ingest and deliver around Kafka. */
export function planScaled(load: Load): Scaled {
  let exceeded = 'one is enough'
  for (let deployments = 1; ; deployments *= 2) {
    const share = { ...load, eventsPerSecond: load.eventsPerSecond / deployments }
    const { sizes, boundBy } = sizesOf(share)
    const limits = limitsOf(share, sizes)
    if (limits.deployment.every(isWithin)) {
      return { deployments, sizes, limits, boundBy: { ...boundBy, deployment: exceeded } }
    }
    exceeded = tightest(limits.deployment).name
  }
}

/** The least that one deployment needs, whether or not it may have it. */
function sizesOf(load: Load): { readonly sizes: Sizes; readonly boundBy: Omit<Scaled['boundBy'], 'deployment'> } {
  const ingest = least(ingestDemands(load))
  const deliver = least(deliverDemands(load))
  const perTask = partitionsPerTask(load)
  const partitions = deliver.units * perTask
  const { brokers, boundBy: brokersBoundBy } = fewestBrokers(load, partitions)
  const { kept, segments } = storedGib(load, partitions)
  return {
    sizes: {
      ingestTasks: ingest.units,
      deliverTasks: deliver.units,
      partitions,
      brokers,
      storageGib: wholeUp((kept + segments) / brokers.count / figure('storageFill')),
    },
    boundBy: {
      ingest: ingest.boundBy,
      deliver: deliver.boundBy,
      partitions: perTask > figure('partitionsPerTask') ? 'throughput of a partition' : 'room to grow',
      brokers: brokersBoundBy,
      storage: kept >= segments ? 'retention' : 'segments still being written',
    },
  }
}

/** Every limit of one deployment that has these sizes. */
export function limitsOf(load: Load, sizes: Sizes): Scaled['limits'] {
  const { ingestTasks, deliverTasks, partitions, brokers, storageGib } = sizes
  const { kept, segments } = storedGib(load, partitions)
  const demands = { ingest: ingestDemands(load), deliver: deliverDemands(load) }
  return {
    ingest: demands.ingest.map((demand) => limitOf(demand, ingestTasks)),
    deliver: demands.deliver.map((demand) => limitOf(demand, deliverTasks)),
    partitions: partitionLimits(load, sizes),
    brokers: brokerDemands(load, partitions, brokers.type).map((demand) => limitOf(demand, brokers.count)),
    storage: [
      {
        name: 'space',
        used: (kept + segments) / brokers.count,
        allowed: figure('storageFill') * storageGib,
        unit: 'GiB a broker',
      },
    ],
    deployment: [
      { name: 'brokers of a cluster', used: brokers.count, allowed: figure('brokersPerCluster'), unit: 'brokers' },
      { name: 'partitions of a topic', used: partitions, allowed: figure('topicPartitions'), unit: 'partitions' },
      { name: 'tasks behind a load balancer', used: ingestTasks, allowed: figure('balancerTargets'), unit: 'tasks' },
      { name: 'tasks of deliver', used: deliverTasks, allowed: figure('serviceTasks'), unit: 'tasks' },
      {
        name: 'connections to a broker',
        used: figure('ingestConnections') * ingestTasks + figure('deliverConnections') * load.sinks * deliverTasks,
        allowed: figure('brokerConnections'),
        unit: 'connections',
      },
    ],
  }
}

function partitionLimits(load: Load, { deliverTasks, partitions }: Sizes): readonly Limit[] {
  const even = (over: number, what: string): Limit => ({
    name: `as many for each ${what}`,
    used: Math.ceil(partitions / over) * over,
    allowed: partitions,
    unit: 'partitions',
  })
  return [
    {
      name: 'throughput of a partition',
      used: topicMibps(load) / partitions,
      allowed: plannedPartitionMibps(),
      unit: 'MiB/s',
    },
    {
      name: 'room to grow',
      used: figure('partitionsPerTask') * deliverTasks,
      allowed: partitions,
      unit: 'partitions',
    },
    even(deliverTasks, 'task'),
    even(figure('zones'), 'zone'),
  ]
}

/** As few as the largest type would need, in each zone the same, and of the smallest type that bears it then. */
function fewestBrokers(load: Load, partitions: number): { readonly brokers: Brokers; readonly boundBy: string } {
  const demandsOf = (type: BrokerType) => brokerDemands(load, partitions, type)
  const { units, boundBy } = least(demandsOf(LARGEST))
  const zones = figure('zones')
  const count = Math.ceil(units / zones) * zones
  let [tooMuch, chosen] = ['', LARGEST]
  for (const type of BROKER_TYPES) {
    const unmet = demandsOf(type)
      .map((demand) => limitOf(demand, count))
      .filter((limit) => !isWithin(limit))
    chosen = type
    if (unmet.length === 0) break
    tooMuch = tightest(unmet).name // for this type: why it is not that one
  }
  const reasons = new Set([...(count > zones || tooMuch === '' ? [boundBy] : []), ...(tooMuch === '' ? [] : [tooMuch])])
  return { brokers: { type: chosen, count }, boundBy: [...reasons].join(', ') }
}

/** The fewest units that bear every demand, and the one that needs them all. */
function least(demands: readonly Demand[]): { readonly units: number; readonly boundBy: string } {
  let found = { units: 0, boundBy: '' }
  for (const { name, total, perUnit } of demands) {
    const units = wholeUp(total / perUnit)
    if (units > found.units) found = { units, boundBy: name }
  }
  return found
}

function limitOf({ name, total, perUnit, unit }: Demand, units: number): Limit {
  return { name, used: total / units, allowed: perUnit, unit }
}

/** The one that is used most; of equals the first. */
export function tightest(limits: readonly Limit[]): Limit {
  return limits.reduce((most, limit) => (limit.used / limit.allowed > most.used / most.allowed ? limit : most))
}

function wholeUp(value: number): number {
  return Math.ceil(value * (1 - TOLERANCE))
}
