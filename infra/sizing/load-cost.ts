/** What a plan costs a month at list prices. Without what does not grow with the load: NAT, endpoints, alarms (`infra/sizing/cost.ts`). */
import type { Scaled } from './capacity.ts'
import { figure, type Load, requestMibps, topicMibps } from './demands.ts'
import type { Machine } from './machine.ts'
import { HOURS_PER_MONTH, PRICES } from './prices.ts'

export interface CostLine {
  readonly what: string
  readonly usdPerMonth: number
}

const GB_PER_MIB = 2 ** 20 / 1e9
const HOUR_SECONDS = 3600

export function costOfMachine({ volumeGib }: Machine): number {
  return PRICES.machineHour * HOURS_PER_MONTH + PRICES.volumeGib * volumeGib
}

export function costOfScaled(load: Load, { deployments, sizes }: Scaled): readonly CostLine[] {
  const { ingestTasks, deliverTasks, brokers, storageGib } = sizes
  const { type, count } = brokers
  const taskHour = PRICES.fargateArmCpuHour + figure('taskMemoryGib') * PRICES.fargateArmGibHour
  const brokerHour = PRICES.brokerHour[type.type] ?? Number.NaN
  const provisioned = type.storageMibps > figure('defaultStorageMibps') ? type.storageMibps : 0
  const month = (perHour: number) => perHour * HOURS_PER_MONTH
  const gbAnHour = (mibps: number) => mibps * GB_PER_MIB * HOUR_SECONDS
  const requestsAMonth = month((load.eventsPerSecond / load.eventsPerRequest) * HOUR_SECONDS)
  // A client is in the zone of its broker once in three times; each sink reads everything.
  const otherZone = (figure('zones') - 1) / figure('zones')
  const crossing = gbAnHour(topicMibps(load) * (1 + load.sinks)) * otherZone
  return [
    { what: 'tasks', usdPerMonth: deployments * month((ingestTasks + deliverTasks) * taskHour) },
    { what: 'brokers', usdPerMonth: deployments * month(count * brokerHour) },
    {
      what: 'storage',
      usdPerMonth: deployments * count * (storageGib * PRICES.brokerGib + provisioned * PRICES.brokerThroughputMibps),
    },
    {
      what: 'load balancer',
      usdPerMonth: month(
        deployments * PRICES.balancerHour +
          Math.max(deployments, gbAnHour(requestMibps(load))) * PRICES.balancerUnitHour,
      ),
    },
    { what: 'firewall', usdPerMonth: (requestsAMonth / 1e6) * PRICES.firewallMillionRequests },
    { what: 'between zones', usdPerMonth: month(crossing) * PRICES.crossZoneGb },
  ]
}
