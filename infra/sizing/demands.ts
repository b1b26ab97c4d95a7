/** What a load asks of tasks, partitions and brokers: the formulas of `docs/scaling.md`, over the figures of ./figures.ts. */
import { type BrokerType, EVENTS_PER_CORE_SECOND, FIGURES, type PerCore, POINTS, type Point } from './figures.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30
const HOUR_SECONDS = 3600

export interface Load {
  readonly eventsPerSecond: number
  readonly bytesPerEvent: number
  readonly eventsPerRequest: number
  readonly retentionHours: number
  readonly sinks: number
  /** Copies of each event in the topic. */
  readonly replication: number
}

/** What all units together must bear, and how much of it one may. */
export interface Demand {
  readonly name: string
  readonly total: number
  readonly perUnit: number
  readonly unit: string
}

/** The value of a figure. */
export function figure(name: keyof typeof FIGURES): number {
  return FIGURES[name].value
}

/** Core-seconds of one event: its share of a request, and what its bytes take, on straight lines between the measured sizes. */
export function coreSecondsPerEvent(rates: PerCore, bytesPerEvent: number, eventsPerRequest: number): number {
  const { tiny, batch, large } = POINTS
  const perRequest = rates.single === undefined ? 0 : (1 / rates.single - 1 / rates.batch) / (1 - 1 / batch.events)
  const alone = (point: Point, rate: number) => ({ bytes: point.bytes, seconds: 1 / rate - perRequest / point.events })
  const [least, middle, most] = [alone(tiny, rates.tiny), alone(batch, rates.batch), alone(large, rates.large)]
  const [from, to] = bytesPerEvent < middle.bytes ? [least, middle] : [middle, most]
  const perByte = (to.seconds - from.seconds) / (to.bytes - from.bytes)
  // Larger ones than measured go on like the last two; smaller ones cost what the smallest does.
  return perRequest / eventsPerRequest + from.seconds + perByte * Math.max(0, bytesPerEvent - from.bytes)
}

/** In a request, the log and the file sink: an event and its line break. */
export function writtenMibps({ eventsPerSecond, bytesPerEvent }: Load): number {
  return (eventsPerSecond * (bytesPerEvent + 1)) / MIB
}

export function requestMibps(load: Load): number {
  const headers = (load.eventsPerSecond / load.eventsPerRequest) * figure('httpBytesPerRequest')
  return writtenMibps(load) + headers / MIB
}

/** Into the topic, one copy. */
export function topicMibps({ eventsPerSecond, bytesPerEvent }: Load): number {
  return (eventsPerSecond * (bytesPerEvent + figure('topicBytesPerEvent'))) / MIB
}

export function ingestDemands(load: Load): readonly Demand[] {
  const { eventsPerSecond, bytesPerEvent, eventsPerRequest } = load
  const { kafkaIngestEventsPerCoreSecond: rates } = EVENTS_PER_CORE_SECOND
  return [
    cpu(eventsPerSecond * coreSecondsPerEvent(rates, bytesPerEvent, eventsPerRequest)),
    network(Math.max(requestMibps(load), topicMibps(load))),
    atLeast('one in each zone', figure('ingestMinTasks')),
  ]
}

export function deliverDemands(load: Load): readonly Demand[] {
  return [...deliveryWork(load), atLeast('two, since one may be lost', figure('deliverMinTasks'))]
}

/** What a task needs for all it can deliver; a multiple of the zones. */
export function partitionsPerTask(load: Load): number {
  const one = { ...load, eventsPerSecond: 1 }
  const eventsPerTask = Math.min(...deliveryWork(one).map(({ total, perUnit }) => perUnit / total))
  const forThroughput = (eventsPerTask * topicMibps(one)) / plannedPartitionMibps()
  return roundUp(Math.max(figure('partitionsPerTask'), forThroughput), figure('zones'))
}

export function plannedPartitionMibps(): number {
  return figure('taskUse') * figure('partitionMibps')
}

export function brokerDemands(load: Load, partitions: number, type: BrokerType): readonly Demand[] {
  const incoming = topicMibps(load)
  const use = figure('brokerUse')
  const outgoing = figure('networkIoPerByte') + figure('networkIoPerSink') * load.sinks
  const { kept, segments } = storedGib(load, partitions)
  return [
    {
      name: 'storage throughput',
      total: incoming * figure('storageIoPerByte'),
      perUnit: use * type.storageMibps,
      unit: 'MiB/s',
    },
    { name: 'network', total: incoming * outgoing, perUnit: use * type.networkMibps, unit: 'MiB/s' },
    {
      name: 'partitions of a broker',
      total: partitions * load.replication,
      perUnit: type.partitions,
      unit: 'partitions',
    },
    { name: 'space', total: kept + segments, perUnit: figure('storageFill') * figure('brokerStorageGib'), unit: 'GiB' },
    atLeast('one in each zone', figure('zones')),
  ]
}

/** On all brokers together: what retention keeps, and the segment of each copy that is still being written. */
export function storedGib(load: Load, partitions: number): { readonly kept: number; readonly segments: number } {
  const { retentionHours, replication } = load
  return {
    kept: (topicMibps(load) * MIB * retentionHours * HOUR_SECONDS * replication) / GIB,
    segments: partitions * replication * figure('segmentGib'),
  }
}

export interface Brokers {
  readonly type: BrokerType
  readonly count: number
}

/** Every sink reads everything. */
function deliveryWork(load: Load): readonly Demand[] {
  const { eventsPerSecond, bytesPerEvent, eventsPerRequest, sinks } = load
  const { kafkaDeliverEventsPerCoreSecond: rates } = EVENTS_PER_CORE_SECOND
  return [
    cpu(sinks * eventsPerSecond * coreSecondsPerEvent(rates, bytesPerEvent, eventsPerRequest)),
    network(sinks * topicMibps(load)),
  ]
}

/** A task has one core: one process, one event loop. */
function cpu(cores: number): Demand {
  return { name: 'CPU', total: cores, perUnit: figure('taskUse'), unit: 'of a core' }
}

function network(mibps: number): Demand {
  return { name: 'network', total: mibps, perUnit: figure('taskUse') * figure('taskNetworkMibps'), unit: 'MiB/s' }
}

function atLeast(name: string, units: number): Demand {
  return { name, total: units, perUnit: 1, unit: 'needed' }
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step
}
