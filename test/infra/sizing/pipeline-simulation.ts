/**
 * A planned deployment under a load over time; one step is a second.
 *
 *     clients ─▶ tasks of ingest ─▶ partitions ─▶ tasks of deliver, each with its own partitions
 *                   │ more than they can: refused        │ more than it can: stays in the partition (lag)
 *
 * Tasks and partitions work up to what they can, not to what they are planned to. Brokers count bytes by their cause.
 */
import type { Sizes } from '../../../infra/sizing/capacity.ts'
import { coreSecondsPerEvent, figure, type Load, requestMibps, topicMibps } from '../../../infra/sizing/demands.ts'
import { EVENTS_PER_CORE_SECOND } from '../../../infra/sizing/figures.ts'

export interface Second {
  readonly eventsPerSecond: number
  /** Default: delivery works. */
  readonly deliveryStopped?: boolean
  /** A zone is down, its partitions are moved to the others, and a sink reads late. Default: none of it. */
  readonly worst?: boolean
}

export interface Simulated {
  readonly refusedEvents: number
  readonly mostLagEvents: number
  readonly lagEvents: number
  /** Greatest share of what each can, at any time. */
  readonly partitionUse: number
  readonly storageUse: number
  readonly networkUse: number
}

/** While partitions move, as AWS sizes for it: bytes for each byte that comes in, on every broker. */
const MOVED_BYTES = 3
const LATE_BYTES = 0.5

export function simulate(load: Load, sizes: Sizes, seconds: Iterable<Second>): Simulated {
  const { bytesPerEvent, eventsPerRequest, sinks, replication } = load
  const { ingestTasks, deliverTasks, partitions, brokers } = sizes
  const { kafkaIngestEventsPerCoreSecond: ingest, kafkaDeliverEventsPerCoreSecond: deliver } = EVENTS_PER_CORE_SECOND
  const one = { ...load, eventsPerSecond: 1 }
  const eventMib = topicMibps(one)
  const taskMibps = figure('taskNetworkMibps')
  const ingestRate =
    ingestTasks *
    Math.min(
      1 / coreSecondsPerEvent(ingest, bytesPerEvent, eventsPerRequest),
      taskMibps / Math.max(requestMibps(one), eventMib),
    )
  const deliverRate = Math.min(
    1 / (sinks * coreSecondsPerEvent(deliver, bytesPerEvent, eventsPerRequest)),
    taskMibps / (sinks * eventMib),
  )
  const waiting = Array.from({ length: partitions }, () => 0)
  const result = { refusedEvents: 0, mostLagEvents: 0, lagEvents: 0, partitionUse: 0, storageUse: 0, networkUse: 0 }
  const most = (key: 'mostLagEvents' | 'partitionUse' | 'storageUse' | 'networkUse', value: number) => {
    result[key] = Math.max(result[key], value)
  }
  for (const { eventsPerSecond, deliveryStopped = false, worst = false } of seconds) {
    const accepted = Math.min(eventsPerSecond, ingestRate)
    result.refusedEvents += eventsPerSecond - accepted
    for (let partition = 0; partition < partitions; partition++) waiting[partition]! += accepted / partitions
    for (let task = 0; task < deliverTasks && !deliveryStopped; task++) {
      let canTake = deliverRate
      for (let partition = task; partition < partitions && canTake > 0; partition += deliverTasks) {
        const taken = Math.min(waiting[partition]!, canTake)
        waiting[partition]! -= taken
        canTake -= taken
      }
    }
    result.lagEvents = waiting.reduce((sum, events) => sum + events, 0)
    most('mostLagEvents', result.lagEvents)

    const incoming = accepted * eventMib
    most('partitionUse', incoming / partitions / figure('partitionMibps'))
    const zones = figure('zones')
    const alive = worst ? (brokers.count * (zones - 1)) / zones : brokers.count
    const copies = worst ? replication - 1 : replication
    const extra = worst ? ((MOVED_BYTES + LATE_BYTES) * incoming) / brokers.count : 0
    most('storageUse', ((incoming * copies) / alive + extra) / brokers.type.storageMibps)
    most('networkUse', ((incoming * (copies - 1 + sinks)) / alive + extra) / brokers.type.networkMibps)
  }
  return result
}
