/** Events that are sent again: acknowledged, and stored once. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { channel } from '../../app/channel/channel.ts'
import { loadConfig } from '../../app/config.ts'
import { messageOf } from '../../app/errors.ts'
import { readBody } from '../../app/http/body.ts'
import { DeduplicationWindow } from '../../app/log/deduplication.ts'
import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import { groupCommit } from '../../app/log/group-commit.ts'
import { openWindow } from '../../app/log/open.ts'
import { Write } from '../../app/write.ts'
import { FaultFiles } from '../support/fault-files.ts'
import { headersOf } from '../support/http.ts'

test('knows the last so many identities, whatever came before, and no other', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 300 }),
      (events, added) => {
        const window = new DeduplicationWindow(events)
        let model: number[] = []
        for (const identity of added) {
          window.add(String(identity))
          if (!model.includes(identity)) model = [...model, identity].slice(-events)
          expect(window.size).toBe(model.length)
        }
        for (let identity = 0; identity <= 60; identity++) {
          expect(window.has(String(identity))).toBe(model.includes(identity))
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('takes 24 to 32 bytes an event, from the start on', () => {
  for (const events of [1000, 65_536, 1_000_000]) {
    const perEvent = new DeduplicationWindow(events).bytes / events
    expect(perEvent).toBeGreaterThanOrEqual(24)
    expect(perEvent).toBeLessThanOrEqual(33)
  }
  expect(new DeduplicationWindow(1_000_000).bytes).toBeLessThan(24 * 2 ** 20)
})

test('the same source and id is the same event; without an id, or with another source, it is not', () => {
  const identity = (event: object) => {
    const body = Buffer.from(JSON.stringify(event))
    const wanted = { maxEvents: 1, keys: false, identities: true }
    return readBody(body, headersOf({ 'content-type': 'application/json' }), wanted).identities?.[0]
  }
  expect(identity({ id: 1, data: 0 })).toBe(identity({ id: '1', source: 'millrace', data: 2 }))
  expect(identity({ id: '1', source: '/a', data: 1 })).not.toBe(identity({ id: '1', source: '/b', data: 1 }))
  expect(identity({ id: '\u0062', data: 1 })).toBe(identity({ id: 'b', data: 1 }))
  expect(identity({ data: 1 })).toBeUndefined()
  expect(identity({ id: null, data: 1 })).toBeUndefined()
})

const DIRECTORY = '/data/log'
const WINDOW_EVENTS = 20

/** Log, window and group commit on a disk that can fail. */
class Run {
  readonly #files: FaultFiles
  /** Requests of the next group. */
  #log!: EmbeddedLog
  #window!: DeduplicationWindow | undefined
  readonly #config = loadConfig({ DATA_DIR: '/data', DEDUPLICATION_WINDOW_EVENTS: String(WINDOW_EVENTS) })

  constructor(files: FaultFiles) {
    this.#files = files
  }

  async open(): Promise<void> {
    this.#log = await EmbeddedLog.open({
      directory: DIRECTORY,
      segmentBytes: 512,
      maxBytes: 1024 * 1024,
      retentionMs: 0,
      keepEvents: WINDOW_EVENTS,
      files: this.#files,
    })
    this.#window = await openWindow(this.#config, this.#log, this.#files)
  }

  /** Commits the requests, each a list of ids, as one group: what each is answered. */
  async commit(requests: readonly (readonly number[])[]): Promise<(number | string)[]> {
    const { sender, receiver } = channel<Write>(1000, { slots: () => 1 })
    const answers = requests.map(() => 'not settled' as number | string)
    for (const [at, ids] of requests.entries()) {
      const events = ids.map((id) => ({ id, data: 'x' }))
      const payload = Buffer.from(events.map((event) => JSON.stringify(event)).join('\n'))
      const onSettled = (error: unknown) => {
        answers[at] = error === undefined ? write.duplicates.length : messageOf(error)
      }
      const write = new Write(payload, events.length, onSettled, { identities: ids.map((id) => `millrace\0${id}`) })
      sender.trySend(write)
    }
    sender.close()
    await groupCommit(receiver, this.#log, { maxGroupBytes: 1_000_000, window: this.#window })
    return answers
  }

  async stored(): Promise<number[]> {
    const consumer = await this.#log.consumer('reader')
    const ids: number[] = []
    while (ids.length < this.#log.endOffset) {
      const group = await consumer.read(AbortSignal.timeout(1000))
      if (group === undefined) break
      const lines = group.payload.toString().trimEnd().split('\n')
      expect(lines.length).toBe(group.count)
      ids.push(...lines.map((line) => JSON.parse(line).id))
    }
    await consumer.close()
    return ids
  }

  get hasFailed(): boolean {
    return this.#log.failure !== undefined
  }

  async restart(): Promise<void> {
    await this.#log.close()
    await this.open()
  }
}

test('stored once within the window: over groups, restarts, and groups that the disk refused', async () => {
  const ids = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 5 })
  const step = fc.record({
    requests: fc.array(ids, { minLength: 1, maxLength: 3 }),
    before: fc.constantFrom('nothing', 'nothing', 'restart', 'no space'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 15 }), async (steps) => {
      const files = new FaultFiles(1)
      const run = new Run(files)
      await run.open()
      const log: number[] = []
      for (const { requests, before } of steps) {
        if (before === 'restart') await run.restart()
        const fresh = new Set<number>()
        const duplicates = requests.map((ids) => {
          const known = ids.map((id) => {
            const isKnown = log.slice(-WINDOW_EVENTS).includes(id) || fresh.has(id)
            fresh.add(id)
            return isKnown
          })
          return known.filter(Boolean).length
        })
        const added = [...fresh].filter((id) => !log.slice(-WINDOW_EVENTS).includes(id))
        if (before === 'no space') files.faults = ['ENOSPC']
        const answers = await run.commit(requests)
        files.faults = []
        if (answers.some((answer) => typeof answer === 'string')) {
          expect(before).toBe('no space')
          expect(answers.every((answer) => typeof answer === 'string')).toBe(true)
          // Where even a file that was given up could not be removed.
          if (run.hasFailed) await run.restart()
          continue // nothing of it is stored, and nothing of it is known: sent again, it is
        }
        expect(answers).toEqual(duplicates)
        log.push(...added)
      }
      expect(await run.stored()).toEqual(log)
    }),
    { numRuns: 200 },
  )
})
