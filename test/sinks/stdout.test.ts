import { PassThrough, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import type { Event } from '../../app/event.ts'
import { StdoutSink } from '../../app/sinks/stdout.ts'
import { batchOf } from '../support/events.ts'

const event: Event = { specversion: '1.0', id: '1', source: '/s', type: 't' }

test('writes one line an event and waits until the pipe has taken it', async () => {
  const taken: string[] = []
  let release: (() => void) | undefined
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      taken.push(String(chunk))
      release = done
    },
  })
  let resolved = false
  const writing = new StdoutSink(stream).write(batchOf(event, event)).then(() => {
    resolved = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect([taken.join(''), resolved]).toEqual([`${JSON.stringify(event)}\n`.repeat(2), false])
  release?.()
  await writing
})

test('a reader that went away makes the sink unavailable and does not end the process', async () => {
  const stream = new PassThrough()
  const sink = new StdoutSink(stream)
  stream.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }))
  await expect(sink.write(batchOf(event))).rejects.toMatchObject({ name: 'SinkUnavailable' })
})

test('a reader that has stopped reading does not keep it from stopping', async () => {
  const sink = new StdoutSink(new Writable({ write: () => undefined }))
  const abort = new AbortController()
  const writing = sink.write(batchOf(event), abort.signal)
  abort.abort()
  await expect(writing).rejects.toMatchObject({ name: 'SinkUnavailable' })
  await expect(sink.write(batchOf(event), abort.signal)).rejects.toMatchObject({ name: 'SinkUnavailable' })
})
