/**
 * What tests of users need, imported from `millrace/testing`: checks that a sink keeps its contract, and routes and handlers run
 * without a server. For any test runner: nothing here imports one.
 */
export { batchOf, contextOf } from './batch.ts'
export { type Delivered, type DeliveredBy, type RunOptions, runRoutes } from './routes.ts'
export { type SinkCheck, type SinkUnderTest, sinkChecks } from './sink-checks.ts'
