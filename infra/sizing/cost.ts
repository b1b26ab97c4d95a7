/**
 * What an environment costs a month when nobody sends anything, at the prices of `infra/sizing/prices.ts`; what a load adds is
 * `millrace plan`'s.
 */

import type { Environment, Tasks } from '../environment.ts'
import { kafkaSize } from '../kafka.ts'
import { natsOf, servicesOf } from '../names.ts'
import { BROKERS, FIREWALL_RULES, PUBLISHED_METRICS } from '../scale.ts'
import { HOURS_PER_MONTH as HOURS, PRICES } from './prices.ts'

export interface CostLine {
  readonly what: string
  readonly formula: string
  readonly usdPerMonth: number
}

/** Lines that are paid whether or not anything is sent, with `tasks` at their minimum. */
export function costOf(environment: Environment): readonly CostLine[] {
  const { zones, interfaceEndpoints, spotShare } = environment
  const kafka = kafkaSize(environment)
  const lines: CostLine[] = servicesOf(environment).map(({ role, tasks }) => ({
    what: `tasks of ${role}`,
    formula: `${tasks.minTasks} × (${tasks.cpu / 1024} vCPU + ${tasks.memoryMiB / 1024} GiB)${spotShare > 0 ? `, ${spotShare * 100} % on Spot` : ''}`,
    usdPerMonth: tasks.minTasks * taskHour(tasks, spotShare) * HOURS,
  }))
  if (kafka) {
    const hour = PRICES.brokerHour[kafka.brokerType] ?? Number.NaN
    lines.push({
      what: 'Kafka',
      formula: `${BROKERS} × ${kafka.brokerType} + ${BROKERS} × ${kafka.storageGiB} GiB`,
      usdPerMonth: BROKERS * (hour * HOURS + kafka.storageGiB * PRICES.brokerGib),
    })
  }
  const nats = natsOf(environment)
  if (nats > 0) lines.push({ what: 'NAT', formula: `${nats} gateways`, usdPerMonth: nats * PRICES.natHour * HOURS })
  const endpoints = interfaceEndpoints.length * zones.length
  if (endpoints > 0) {
    const formula = `${interfaceEndpoints.length} services × ${zones.length} zones`
    lines.push({ what: 'endpoints', formula, usdPerMonth: endpoints * PRICES.endpointHour * HOURS })
  }
  lines.push(
    {
      what: 'load balancer',
      formula: 'one, one capacity unit',
      usdPerMonth: (PRICES.balancerHour + PRICES.balancerUnitHour) * HOURS,
    },
    {
      what: 'firewall',
      formula: `one list, ${FIREWALL_RULES} rules`,
      usdPerMonth: PRICES.firewall + FIREWALL_RULES * PRICES.firewallRule,
    },
    { what: 'key, secret, dashboard', formula: 'one each', usdPerMonth: PRICES.key + PRICES.secret + PRICES.dashboard },
    { what: 'metrics', formula: `${metricsOf(environment)}`, usdPerMonth: metricsOf(environment) * PRICES.metric },
    { what: 'alarms', formula: `${alarmsOf(environment)}`, usdPerMonth: alarmsOf(environment) * PRICES.alarm },
  )
  return lines
}

function taskHour({ cpu, memoryMiB }: Tasks, spotShare: number): number {
  const onDemand = (cpu / 1024) * PRICES.fargateArmCpuHour + (memoryMiB / 1024) * PRICES.fargateArmGibHour
  return onDemand * (1 - spotShare + spotShare * PRICES.spotShareOfPrice)
}

/** By metric, as AWS counts them; a test counts. Two of each target-tracking policy are AWS's own and free to nobody. */
function alarmsOf(environment: Environment): number {
  const services = servicesOf(environment)
  const followed = services.reduce((sum, { role, tasks }) => sum + (tasks.maxTasks > 1 ? policiesOf(role) : 0), 0)
  const own = services.reduce((sum, { role }) => sum + (role === 'ingest' ? 4 : 5), 0)
  return own + 2 + (kafkaSize(environment) ? KAFKA_ALARMS : 0) + 2 * followed
}

/** Of the cluster; of each broker disk, copies, and CPU by two metrics; AWS's own of its disks. */
const KAFKA_ALARMS = 2 + 4 * BROKERS + 1

/**
 * Container Insights: 8 of the cluster, 6 of each family of tasks, 11 of each service (aws.amazon.com/cloudwatch/pricing). And
 * what a role publishes. Those of MSK at its DEFAULT level, of ECS and of the load balancer are free.
 */
function metricsOf(environment: Environment): number {
  return 8 + servicesOf(environment).length * (6 + 11 + PUBLISHED_METRICS)
}

function policiesOf(role: string): number {
  return role === 'all' ? 0 : 3
}
