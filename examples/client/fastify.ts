/** Events of a Fastify service, with a spool: what is not sent when the process ends is sent when it starts again. */
import Fastify from 'fastify'
import { type Client, createClient } from 'millrace/client'
import { openSpool } from 'millrace/client/spool'

declare module 'fastify' {
  interface FastifyInstance {
    events: Client
  }
}

const { PORT = '8080', MILLRACE_URL = 'http://localhost:3000', SPOOL_DIR = './spool' } = process.env

const app = Fastify()
app.decorate('events', createClient({ url: MILLRACE_URL, source: '/shop', store: openSpool({ directory: SPOOL_DIR }) }))
app.addHook('onClose', async ({ events }) => void (await events.close()))

app.post<{ Body: { customer: string } }>('/orders', (request, reply) => {
  const { body, headers } = request
  const event = { type: 'order.created', subject: body.customer, data: body }
  const id = app.events.track({ ...event, traceparent: headers.traceparent })
  reply.code(201).send({ event: id })
})

const address = await app.listen({ port: Number(PORT), host: '127.0.0.1' })
console.error(`listening on ${new URL(address).port}`)
process.once('SIGTERM', () => app.close())
