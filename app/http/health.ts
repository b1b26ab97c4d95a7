/** Liveness and readiness, the same on both listeners. */
import type { FastifyInstance } from 'fastify'

/** @param notReady why the service cannot take events now, or undefined when it can. */
export function healthRoutes(app: FastifyInstance, notReady: () => string | undefined): void {
  app.get('/health/live', () => ({ status: 'live' }))
  app.get('/health/ready', (_request, reply) => {
    const reason = notReady()
    return reason === undefined ? { status: 'ready' } : reply.code(503).send({ status: 'not ready', reason })
  })
}
