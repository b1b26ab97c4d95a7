/** How many of everything the stacks have, and how full it is kept: the planner (`sizing/`) computes with the same numbers. */
import type { KafkaSize } from './environment.ts'

/** Where autoscaling keeps each metric. */
export const TARGETS = {
  /** Percent of the tasks' CPU: a new task takes two minutes, which the other 40 % must last for. */
  cpuPercent: 60,
  /** Of the event loop (0–1). */
  loopUse: 0.6,
  /** Requests a minute for each core: well under what one core takes, so that CPU decides for large bodies. */
  requestsPerMinutePerCore: 5_000 * 60,
  /** Events that one task of `deliver` may be behind: some seconds of work. */
  lagEvents: 50_000,
} as const

/** Tasks of one role, at most. */
export const MAX_TASKS = 1000

/** One in each zone, so that one zone less still has two copies of everything. */
export const BROKERS = 3

/** Percent of a broker's disk: from here on it grows. Growing takes hours, and comes at most every six. */
export const GROW_DISK_PERCENT = 50
/** An alarm reports it: the service did not grow in time, or is at its maximum. */
export const DISK_ALARM_PERCENT = 60

const DEFAULT_GROWTH = 4
const LONGEST_RETENTION_SECONDS = 7 * 24 * 3600

/** As far as the disk of a broker grows, GiB. */
export function maxStorageGiB({ storageGiB, maxStorageGiB: most = DEFAULT_GROWTH * storageGiB }: KafkaSize): number {
  return most
}

/** How long the topic keeps events: a week, or as long as the disks last. Each broker has a copy of everything. */
export function retentionSeconds(size: KafkaSize): number {
  const mib = maxStorageGiB(size) * 1024 * (DISK_ALARM_PERCENT / 100)
  return Math.min(LONGEST_RETENTION_SECONDS, Math.floor(mib / size.plannedMibps))
}

/** What the tasks of a role publish in CloudWatch. A test counts them. */
export const PUBLISHED_METRICS = 4

/** Rules of the firewall in front of the load balancer. A test counts them. */
export const FIREWALL_RULES = 4
