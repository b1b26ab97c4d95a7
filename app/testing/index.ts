/**
 * `millrace/testing`, for users' own tests: checks that a sink keeps its contract, and runs routes and handlers without
 * a server. It works with any test runner and imports none.
 */
export { batchOf, contextOf } from './batch.ts'
export { type Delivered, type DeliveredBy, type RunOptions, runRoutes } from './routes.ts'
export { type SinkCheck, type SinkUnderTest, sinkChecks } from './sink-checks.ts'
