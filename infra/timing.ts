/**
 * Times that must fit together, across the load balancer, the container platform and the app. In order, when a task
 * stops:
 *
 *     SIGTERM ─▶ grace: not ready, still serving ─▶ drain: sinks go on ─▶ exit          < stopTimeout: else killed
 *                └ the load balancer notices within healthCheckSeconds × unhealthyChecks
 *
 * While it runs, the load balancer closes idle connections before the app does (its keepAliveTimeout, 72 s). So it
 * never sends a request on a connection that is being closed.
 */
export const TIMING = {
  balancerIdleSeconds: 60,
  healthCheckSeconds: 5,
  unhealthyChecks: 2,
  deregistrationSeconds: 30,
  shutdownGraceSeconds: 15,
  shutdownDrainSeconds: 60,
  /** ECS kills what has not stopped by then; 120 is the most that Fargate allows. */
  stopTimeoutSeconds: 110,
  /** How often the app tells CloudWatch; target tracking looks at minutes. */
  cloudWatchSeconds: 20,
} as const
