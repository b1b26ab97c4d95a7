/**
 * Runs routes and handlers without a server. Shows what a sink would get, and which events would become dead letters.
 * Routes, filters, handlers and retries use the same functions as in the service.
 *
 *     events ─▶ filter ─▶ handlers, retried without waiting ─▶ delivered · dead letters
 */
import { loadConfig } from '../config.ts'
import type { UserConfig } from '../config-file/define.ts'
import { configFileOf } from '../config-file/load.ts'
import { faultOf, KEPT_OUT } from '../delivery/filter.ts'
import { handleBatch } from '../delivery/handle.ts'
import { type CheckedRoute, checkRoutes } from '../delivery/route.ts'
import { taskOf } from '../delivery/single.ts'
import type { Task } from '../delivery/task.ts'
import type { Event } from '../event.ts'
import { pickFrom } from '../handlers/pick.ts'

export interface RunOptions {
  /** Variables, such as `HANDLERS` and `RETRY_MAX_ATTEMPTS`. Default: none. */
  readonly environment?: Readonly<Record<string, string>>
}

export interface Delivered {
  /** The events that the sink would get, in order. */
  readonly events: readonly Event[]
  /** `reason` is the stack of the handler or the filter. */
  readonly deadLetters: readonly { readonly event: Event; readonly reason: string; readonly attempts: number }[]
  /** How many events the filter excluded. */
  readonly filtered: number
}

/** Name of the route → its result. */
export type DeliveredBy = Readonly<Record<string, Delivered>>

/**
 * Runs events through the routes of a config; no sink is created.
 * @param config the export of a config file. Without `routes`: the routes of `SINKS` and `HANDLERS` of the environment.
 * @param events complete or short events, as from a producer.
 * @throws MillraceError CONFIG_INVALID, the error of a start; TypeError for an event that the service would refuse.
 */
export async function runRoutes(
  config: UserConfig,
  events: readonly object[],
  { environment = {} }: RunOptions = {},
): Promise<DeliveredBy> {
  const file = configFileOf('config', config)
  const routes = checkRoutes(loadConfig(environment), file, pickFrom(file))
  const texts = events.map((event) => Buffer.from(JSON.stringify(event)))
  const results = await Promise.all(routes.map(async (route) => [route.name, await run(route, texts)] as const))
  return Object.fromEntries(results)
}

async function run(route: CheckedRoute, texts: readonly Buffer[]): Promise<Delivered> {
  const deadLetters: Delivered['deadLetters'][number][] = []
  const chosen: Task[] = []
  let filtered = 0
  for (const [index, text] of texts.entries()) {
    const task = taskOf(text, index)
    if (typeof task === 'string') throw new TypeError(`events[${index}] would be refused: ${task}`)
    const fault = faultOf(route.filter, task)
    if (fault === undefined) chosen.push(task)
    else if (fault === KEPT_OUT) filtered += 1
    else deadLetters.push({ event: task.event, reason: fault, attempts: 0 })
  }
  const givenUp = await handle(route, chosen)
  for (const [task, reason] of givenUp) deadLetters.push({ event: task.parse(), reason, attempts: task.attempts })
  const events = chosen.flatMap(({ outputs = [] }) => outputs.map((output) => output.parse()))
  return { events, deadLetters, filtered }
}

/** @returns the events without attempts left, with the last reason. */
async function handle({ name, handlers, config }: CheckedRoute, tasks: readonly Task[]): Promise<Map<Task, string>> {
  const { signal } = new AbortController()
  const options = { handlers, concurrency: config.HANDLER_CONCURRENCY, sink: name, signal }
  const givenUp = new Map<Task, string>()
  for (let open = tasks; open.length > 0; ) {
    for (const [task, reason] of await handleBatch(open, options)) {
      task.attempts += 1
      if (task.attempts >= config.RETRY_MAX_ATTEMPTS) givenUp.set(task, reason)
    }
    open = open.filter((task) => task.outputs === undefined && !givenUp.has(task))
  }
  return givenUp
}
