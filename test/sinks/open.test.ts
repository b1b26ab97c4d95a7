/** A sink of the user's own, as it is made at the start. */
import { expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { openSink } from '../../app/sinks/open.ts'
import type { SinkFactory } from '../../app/sinks/sink.ts'
import { contextOf } from '../../app/testing/index.ts'

const sound = { concurrency: 1, maxBatchEvents: 1, write: async () => undefined, close: async () => {} }
const open = (create: SinkFactory, options = {}) => {
  const own = { create, options, shownAs: 'sink "audit" of millrace.config.ts, for route "a",' }
  return openSink({ sink: 'audit', own, config: loadConfig({}) }, contextOf('a'))
}

test('is made with its options and what delivery tells it, at once or later', async () => {
  const given: unknown[] = []
  const create: SinkFactory = ({ options, name }) => {
    given.push(options, name)
    return sound
  }
  expect(await open(create, { path: './x' })).toBe(sound)
  expect(await open(async () => sound)).toBe(sound)
  expect(given).toEqual([{ path: './x' }, 'a'])
})

test.each<[string, () => unknown, RegExp]>([
  [
    'a throw',
    () => {
      throw new Error('no disk')
    },
    /^sink "audit" of millrace\.config\.ts, for route "a", cannot be made: no disk$/,
  ],
  ['nothing', () => undefined, /made something that is not a sink: it returned no object$/],
  ['no write', () => ({ ...sound, write: undefined }), /: write must be a method that returns a promise$/],
  ['no close', () => ({ ...sound, close: 1 }), /: close must be a method that returns a promise$/],
  ['no lanes', () => ({ ...sound, concurrency: 0 }), /: concurrency must be a whole number from 1 to 1024$/],
  ['half a lane', () => ({ ...sound, concurrency: 0.5 }), /: concurrency must be a whole number/],
  [
    'no batch',
    () => ({ ...sound, maxBatchEvents: undefined }),
    /: maxBatchEvents must be a whole number of 1 or more$/,
  ],
])('%s ends the start, with the name of the sink', async (_, create, message) => {
  await expect(open(create as SinkFactory)).rejects.toThrow(message)
  await expect(open(create as SinkFactory)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})
