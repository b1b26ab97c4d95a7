/** Whether a load fits one process with the embedded log, on a machine of one's own (m7g.large): the same formulas as in ./capacity.ts. */
import { isWithin, type Limit, TOLERANCE, tightest } from './capacity.ts'
import { coreSecondsPerEvent, figure, type Load, requestMibps, writtenMibps } from './demands.ts'
import { EVENTS_PER_CORE_SECOND } from './figures.ts'

export interface Machine {
  readonly fits: boolean
  readonly limits: readonly Limit[]
  /** The first limit that is met when the load grows. */
  readonly boundBy: Limit
  /** Of this kind of events, with everything else the same. */
  readonly mostEventsPerSecond: number
  readonly volumeGib: number
}

/** One process that does everything, on a machine of one's own. */
export function planMachine(load: Load): Machine {
  const { eventsPerSecond, bytesPerEvent, eventsPerRequest, retentionHours, sinks } = load
  const { embeddedIngestEventsPerCoreSecond: ingest, embeddedDeliverEventsPerCoreSecond: deliver } =
    EVENTS_PER_CORE_SECOND
  const coreSeconds =
    coreSecondsPerEvent(ingest, bytesPerEvent, eventsPerRequest) +
    sinks * coreSecondsPerEvent(deliver, bytesPerEvent, eventsPerRequest)
  const written = writtenMibps(load)
  const logGib = (written * retentionHours * 3600) / 1024
  const use = figure('taskUse')
  const limits: Limit[] = [
    { name: 'CPU of the event loop', used: eventsPerSecond * coreSeconds, allowed: use, unit: 'of a core' },
    {
      name: 'storage throughput',
      used: (1 + sinks) * written, // the file sink writes each event again
      allowed: use * figure('machineStorageMibps'),
      unit: 'MiB/s',
    },
    {
      name: 'network',
      used: Math.max(requestMibps(load), sinks * written),
      allowed: use * figure('machineNetworkMibps'),
      unit: 'MiB/s',
    },
    { name: 'LOG_MAX_BYTES', used: logGib, allowed: figure('machineLogGib'), unit: 'GiB' },
  ]
  const boundBy = tightest(limits)
  return {
    fits: limits.every(isWithin),
    limits,
    boundBy,
    mostEventsPerSecond: Math.floor((eventsPerSecond * boundBy.allowed * (1 + TOLERANCE)) / boundBy.used),
    volumeGib: Math.ceil(logGib / figure('storageFill')),
  }
}
