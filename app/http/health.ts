/** Liveness and readiness, the same on both listeners. */
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'

const LiveSchema = Type.Object({ status: Type.Literal('live') })
const ReadySchema = Type.Object({
  status: Type.Enum(['ready', 'not ready']),
  reason: Type.Optional(Type.String({ description: 'Why not.' })),
})

/** @param notReady why the service cannot take events now, or undefined when it can. */
export function healthRoutes(app: FastifyInstance, notReady: () => string | undefined): void {
  app.get(
    '/health/live',
    { schema: { summary: 'The process runs', tags: ['health'], response: { 200: LiveSchema } } },
    () => ({ status: 'live' }),
  )
  app.get(
    '/health/ready',
    {
      schema: {
        summary: 'The service can take events',
        tags: ['health'],
        response: { 200: ReadySchema, 503: ReadySchema },
      },
    },
    (_request, reply) => {
      const reason = notReady()
      return reason === undefined ? { status: 'ready' } : reply.code(503).send({ status: 'not ready', reason })
    },
  )
}
