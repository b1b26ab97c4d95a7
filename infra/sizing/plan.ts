/** `millrace plan`: what a load needs, for one machine if it fits and for the scaled profile, and which limit binds each number. */
import { VARIABLES } from '../../app/config.ts'
import { MillraceError } from '../../app/errors.ts'
import { type Limit, planScaled, type Scaled, tightest } from './capacity.ts'
import { figure, type Load, requestMibps, topicMibps, writtenMibps } from './demands.ts'
import { costOfMachine, costOfScaled } from './load-cost.ts'
import { type Machine, planMachine } from './machine.ts'
import { PRICES_AS_OF } from './prices.ts'

export interface PlanOptions {
  readonly eventsPerSecond: number
  readonly bytes: number
  /** Hours. */
  readonly retention: number
  readonly eventsPerRequest?: number
  readonly sinks: number
  readonly replication: number
  readonly markdown?: boolean
}

interface Row {
  readonly what: string
  readonly howMany: string
  readonly boundBy: string
  readonly use: string
}

const DEFAULT_EVENTS_PER_REQUEST = 100
const MAX_BODY_BYTES = Number(VARIABLES.MAX_BODY_BYTES?.default)
/** `max.message.bytes` of Kafka, of which a batch with one event may take this much beside it. */
const KAFKA_MESSAGE_BYTES = 1_048_588
const KAFKA_BATCH_BYTES = 1024
/** What only says how many there must be at least is no use of anything. */
const COUNTED = 'needed'

export function plan(options: PlanOptions): void {
  const load = loadOf(options)
  process.stdout.write(`${(options.markdown ? asMarkdown(load) : asText(load)).join('\n')}\n`)
}

/** @throws MillraceError CONFIG_INVALID when such requests would be refused. */
export function loadOf({ eventsPerSecond, bytes, retention, eventsPerRequest, sinks, replication }: PlanOptions): Load {
  const most = Math.max(1, Math.floor((MAX_BODY_BYTES + 1) / (bytes + 1)))
  if (eventsPerRequest !== undefined && eventsPerRequest > most) {
    throw new MillraceError(
      'CONFIG_INVALID',
      `${whole(eventsPerRequest)} events of ${whole(bytes)} bytes in a request are more than MAX_BODY_BYTES=${MAX_BODY_BYTES}: --events-per-request ${most} at most`,
    )
  }
  return {
    eventsPerSecond,
    bytesPerEvent: bytes,
    eventsPerRequest: eventsPerRequest ?? Math.min(DEFAULT_EVENTS_PER_REQUEST, most),
    retentionHours: retention,
    sinks,
    replication,
  }
}

export function asText(load: Load): string[] {
  const scaled = planScaled(load)
  const rows = [{ what: '', howMany: '', boundBy: 'bound by', use: 'at, of what is planned' }, ...rowsOf(load, scaled)]
  const width = (key: keyof Row) => Math.max(...rows.map((row) => row[key].length))
  const [what, howMany, boundBy] = [width('what'), width('howMany'), width('boundBy')]
  const line = (row: Row) =>
    `  ${row.what.padEnd(what)}  ${row.howMany.padEnd(howMany)}  ${row.boundBy.padEnd(boundBy)}  ${row.use}`.trimEnd()
  return [
    headline(load),
    '',
    ...machineText(planMachine(load)),
    '',
    scaledTitle(scaled),
    ...rows.map(line),
    '',
    ...costText(load, scaled),
    '',
    ...notes(load, scaled),
  ]
}

function asMarkdown(load: Load): string[] {
  const scaled = planScaled(load)
  return [
    `**${headline(load)}**`,
    '',
    ...machineText(planMachine(load)),
    '',
    scaledTitle(scaled),
    '',
    '| what | how many | bound by | at, of what is planned |',
    '|---|---|---|---|',
    ...rowsOf(load, scaled).map(({ what, howMany, boundBy, use }) => `| ${what} | ${howMany} | ${boundBy} | ${use} |`),
    '',
    ...costText(load, scaled),
    '',
    ...notes(load, scaled).map((note) => `- ${note}`),
  ]
}

function headline(load: Load): string {
  const { eventsPerSecond, bytesPerEvent, eventsPerRequest, retentionHours, sinks, replication } = load
  const rate = `${count(eventsPerSecond, 'event')}/s of ${count(bytesPerEvent, 'byte')}`
  const kept = `kept ${hours(retentionHours)} in ${replication} copies`
  return `${rate}, ${whole(eventsPerRequest)} in a request: ${short(writtenMibps(load))} MiB/s, ${kept}, ${count(sinks, 'sink')}`
}

function machineText(machine: Machine): string[] {
  const { fits, boundBy, mostEventsPerSecond, volumeGib } = machine
  const title = 'One machine, ROLE=all on the embedded log:'
  const most = `up to ${count(twoDigits(mostEventsPerSecond), 'event')}/s (${boundBy.name})`
  if (!fits) return [`${title} does not fit, ${mostEventsPerSecond === 0 ? `not one event/s (${boundBy.name})` : most}`]
  const size = `m7g.large, ${figure('machineCores')} vCPU, ${figure('machineMemoryGib')} GiB, ${whole(volumeGib)} GiB gp3`
  return [
    `${title} fits, ${most}`,
    `  ${size}, $${whole(costOfMachine(machine))} a month; while it restarts, nothing is taken`,
  ]
}

function scaledTitle({ deployments, boundBy }: Scaled): string {
  const title = 'Scaled, ROLE=ingest and ROLE=deliver around Kafka'
  if (deployments === 1) return title
  return `${title}: ${whole(deployments)} deployments with producers of their own (${boundBy.deployment}), each`
}

function rowsOf(load: Load, scaled: Scaled): readonly Row[] {
  const { deployments, sizes, limits, boundBy } = scaled
  const { ingestTasks, deliverTasks, partitions, brokers, storageGib } = sizes
  const share = { ...load, eventsPerSecond: load.eventsPerSecond / deployments }
  const task = `1 vCPU, ${figure('taskMemoryGib')} GiB`
  const { storageMibps } = brokers.type
  const provisioned = storageMibps > figure('defaultStorageMibps') ? `, ${whole(storageMibps)} MiB/s` : ''
  const into = topicMibps(share)
  const networks = { ingest: limits.ingest, deliver: limits.deliver, brokers: limits.brokers }
  const tightestNetwork = Object.entries(networks)
    .map(([of, all]) => ({ of, limit: all.find(({ name }) => name === 'network') as Limit }))
    .reduce((most, each) => (ratio(each.limit) > ratio(most.limit) ? each : most))
  const connections = limits.deployment.find(({ name }) => name === 'connections to a broker') as Limit
  const row = (what: string, howMany: string, by: string, all: readonly Limit[]): Row => {
    const limit = tightest(all.filter(({ unit }) => unit !== COUNTED))
    return { what, howMany, boundBy: by, use: `${limit.name} ${percent(limit)}` }
  }
  return [
    row('ingest', `${count(ingestTasks, 'task')} × ${task}`, boundBy.ingest, limits.ingest),
    row('deliver', `${count(deliverTasks, 'task')} × ${task}`, boundBy.deliver, limits.deliver),
    row(
      'partitions',
      `${whole(partitions)}, ${partitions / deliverTasks} for each task of deliver`,
      boundBy.partitions,
      limits.partitions.filter(({ name }) => name === 'throughput of a partition'),
    ),
    row('brokers', `${whole(brokers.count)} × ${brokers.type.type}`, boundBy.brokers, limits.brokers),
    {
      what: 'storage',
      howMany: `${whole(brokers.count)} × ${whole(storageGib)} GiB${provisioned}`,
      boundBy: boundBy.storage,
      use: `filled to ${Math.round(100 * figure('storageFill'))} %`,
    },
    {
      what: 'network',
      howMany: `${short(requestMibps(share))} MiB/s in, ${short(into)} to brokers, ${short(into * load.sinks)} out`,
      boundBy: `network of ${tightestNetwork.of}`,
      use: percent(tightestNetwork.limit),
    },
    {
      what: 'connections',
      howMany: `${whole(connections.used)} to each broker`,
      boundBy: `${whole(connections.allowed)}, IAM`,
      use: percent(connections),
    },
  ]
}

function costText(load: Load, scaled: Scaled): string[] {
  const lines = costOfScaled(load, scaled)
  const total = lines.reduce((sum, { usdPerMonth }) => sum + usdPerMonth, 0)
  return [
    `$${whole(total)} a month at list prices (${PRICES_AS_OF}), without what does not grow with the load:`,
    `  ${lines.map(({ what, usdPerMonth }) => `${what} ${whole(usdPerMonth)}`).join(' · ')}`,
  ]
}

function notes(load: Load, { deployments, sizes }: Scaled): string[] {
  const { brokers } = sizes
  const all = deployments * brokers.count
  const asInfra = brokers.count <= figure('zones') && brokers.type.storageMibps <= figure('defaultStorageMibps')
  return [
    ...(asInfra
      ? []
      : ['infra/config.ts has three brokers at 250 MiB/s: more is set in infra/constructs/kafka-cluster.ts.']),
    ...(all > figure('brokersPerAccount')
      ? [`${whole(all)} brokers: an account may have ${figure('brokersPerAccount')} until AWS raises its quota.`]
      : []),
    ...(load.bytesPerEvent + KAFKA_BATCH_BYTES > KAFKA_MESSAGE_BYTES
      ? ['Events this large need a greater max.message.bytes of the topic.']
      : []),
    'Formulas, sources, and where they stop being valid: docs/scaling.md',
  ]
}

function ratio({ used, allowed }: Limit): number {
  return used / allowed
}

function percent(limit: Limit): string {
  const share = 100 * ratio(limit)
  return share > 0 && share < 1 ? '< 1 %' : `${Math.round(share)} %`
}

/** Rounded down: a promise. */
function twoDigits(value: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, value))) - 1)
  return Math.floor(value / step) * step
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function short(value: number): string {
  if (value < 0.01) return '< 0.01'
  return value >= 10 ? whole(value) : Number(value.toPrecision(2)).toString()
}

function hours(value: number): string {
  return value >= 48 && value % 24 === 0 ? `${whole(value / 24)} days` : `${value} h`
}

function count(value: number, what: string): string {
  return `${whole(value)} ${what}${value === 1 ? '' : 's'}`
}
