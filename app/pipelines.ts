/**
 * What goes where, a row a route: which events → through which handlers → into which sink. Each has its own offsets,
 * lag and dead letters, under its name. `Route` in delivery/route.ts says what a row can hold.
 */
import type { Config } from './config.ts'
import type { Route } from './delivery/route.ts'

export function pipelines({ SINKS, HANDLERS }: Config): Route[] {
  return [
    // From the environment: every event, through HANDLERS, into each of SINKS.
    ...SINKS.map((sink) => ({ name: sink, handlers: HANDLERS, sink })),

    // Yours, beside that or in its place. `ofType` is in handlers/handler.ts. For example:
    // { name: 'orders', filter: ofType('order.*'), handlers: ['sample'], sink: 'file', options: { FILE_SINK_DIR: './orders' } },
    // { name: 'large', filter: ({ data }) => Number(data) > 1000, sink: 'http', options: { HTTP_SINK_URL: 'https://…' } },
  ]
}
