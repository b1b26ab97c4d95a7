/** Events of an Express service: one client for the process, and no request waits for an event. */
import express from 'express'
import { createClient } from 'millrace/client'

const { PORT = '8080', MILLRACE_URL = 'http://localhost:3000', MILLRACE_KEY } = process.env
const events = createClient({
  url: MILLRACE_URL,
  ...(MILLRACE_KEY !== undefined && { key: MILLRACE_KEY }),
  source: '/shop',
})

const app = express()
app.use(express.json())
app.post('/orders', (request, response) => {
  const event = { type: 'order.created', subject: request.body.customer, data: request.body }
  const id = events.track({ ...event, traceparent: request.get('traceparent') })
  response.status(201).json({ event: id })
})

const server = app.listen(Number(PORT), '127.0.0.1', () => {
  const address = server.address()
  console.error(`listening on ${typeof address === 'object' ? address?.port : address}`)
})
// No new requests, then the events of those that were answered.
process.once('SIGTERM', () => {
  server.close(async () => {
    process.exitCode = (await events.close()) ? 0 : 1
  })
  server.closeIdleConnections()
})
