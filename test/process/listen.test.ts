import { fastify } from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { listen } from '../../app/process/listen.ts'

test('localhost is one address: Fastify would open a second server that knows none of our limits and answers', async () => {
  const app = fastify()
  onTestFinished(() => app.close())
  expect(await listen(app, 'localhost', 0, '')).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  expect(app.addresses()).toHaveLength(1)
})

test('an address that this machine does not have is said of HOST, and a port in use of PORT', async () => {
  const [first, second] = [fastify(), fastify()]
  onTestFinished(async () => {
    await first.close()
    await second.close()
  })
  const url = await listen(first, '127.0.0.1', 0, '')
  await expect(listen(second, '127.0.0.1', Number(new URL(url).port), 'ADMIN_')).rejects.toThrow(
    /^ADMIN_PORT: port \d+ on 127/,
  )
  await expect(listen(second, '192.0.2.1', 0, '')).rejects.toThrow(
    /^HOST: 192\.0\.2\.1 is not an address of this machine/,
  )
})
