/**
 * Loaded before the service (`node --import`): app/pipelines.ts is replaced by one without a row, so that events are taken
 * in, made durable, and go nowhere. It is what the services do that Millrace is compared with, which only store. All
 * else is the service as it is; a deployment gets the same by deleting the rows of app/pipelines.ts.
 */
import { registerHooks } from 'node:module'

const NO_ROUTES = `data:text/javascript,${encodeURIComponent('export const pipelines = () => []')}`

registerHooks({
  resolve: (specifier, context, nextResolve) =>
    /\/pipelines\.[jt]s$/.test(specifier) ? { url: NO_ROUTES, shortCircuit: true } : nextResolve(specifier, context),
})
