/**
 * The content of `millrace.config.ts`: the user's own handlers, sinks, routes and webhooks, in one typed value. load.ts
 * finds, loads and checks the file.
 */
import type { Route } from '../delivery/route.ts'
import type { Handler } from '../handlers/handler.ts'
import type { Hook } from '../hooks/hook.ts'
import type { SinkFactory } from '../sinks/sink.ts'

export interface UserConfig<HandlerName extends string = string, SinkName extends string = string> {
  /** By the name that `HANDLERS` and routes use: letters, digits, `_`, `-` and `.`. Default: none. */
  readonly handlers?: Readonly<Record<HandlerName, Handler>>
  /**
   * Your own sinks, by the name that routes use: 1 to 64 lower-case letters, digits, `-` and `_`, except the names of
   * Millrace's sinks. At the start, each route creates its own instance of its sink. Default: none.
   */
  readonly sinks?: Readonly<Record<SinkName, SinkFactory>>
  /**
   * Default: one route for each of `SINKS`, with every event, through `HANDLERS`. If `routes` is given, those of
   * `SINKS` run in addition only if the environment sets `SINKS`. An empty list delivers nothing.
   */
  readonly routes?: readonly Route<NoInfer<HandlerName>, NoInfer<SinkName>>[]
  /**
   * Webhooks that are accepted at `POST /v1/hooks/<name>`, by that name: 1 to 64 lower-case letters, digits, `-` and
   * `_`; at most 64 webhooks. Default: none.
   */
  readonly hooks?: Readonly<Record<string, Hook>>
}

/**
 * Returns the value unchanged, with its types checked: a route can name only handlers and sinks that exist.
 *
 *     export default defineConfig({
 *       handlers: { enrich: (event) => ({ ...event, seenby: 'enrich' }) },
 *       routes: [{ name: 'orders', filter: ofType('order.*'), handlers: ['enrich'], sink: 'file' }],
 *     })
 */
export function defineConfig<HandlerName extends string = never, SinkName extends string = never>(
  config: UserConfig<HandlerName, SinkName>,
): UserConfig<HandlerName, SinkName> {
  return config
}
