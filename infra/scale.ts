/** How many of everything the stacks have, and how full it is kept: the planner (`sizing/`) computes with the same numbers. */

/** Where autoscaling keeps each metric. */
export const TARGETS = {
  /** Percent of the tasks' CPU: a new task takes two minutes, which the other 40 % must last for. */
  cpuPercent: 60,
  /** Of the event loop, channel or log, whichever is fullest (0–1). */
  saturation: 0.6,
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
/** Somebody hears of it: it did not grow in time, or has its most. */
export const DISK_ALARM_PERCENT = 60

/** Rules of the firewall in front of the load balancer. A test counts them. */
export const FIREWALL_RULES = 4
