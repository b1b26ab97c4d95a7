import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Event } from '../../app/event.ts'
import { SinkBatch } from '../../app/sinks/batch.ts'
import { S3Sink } from '../../app/sinks/s3/s3-sink.ts'
import { encodeType } from '../../app/sinks/s3/window.ts'
import { startDelivery } from '../support/delivery.ts'
import { batchOf, itemIn } from '../support/events.ts'
import { type Store, startStore } from '../support/s3-store.ts'
import { until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const CUTS = 'events/_millrace/s3.log.json'
const event = (id: string, type: string): Event => ({ specversion: '1.0', id, source: '/s', type, data: id })

function openSink({ endpoint }: Store, warnings: string[] = [], rollEvents = 1e6): S3Sink & { name: string } {
  process.env.AWS_ACCESS_KEY_ID ??= 'local'
  process.env.AWS_SECRET_ACCESS_KEY ??= 'local'
  const sink = new S3Sink({
    name: 's3',
    bucket: 'bucket',
    region: 'eu-central-1',
    endpoint,
    kmsKeyId: '',
    timeoutMs: 5000,
    prefix: 'events/',
    compression: 'gzip',
    rollBytes: 1e6,
    rollEvents,
    rollMs: 50,
    backoffMs: () => 20,
    onWarning: (text) => void warnings.push(text),
  })
  onTestFinished(() => sink.close())
  return Object.assign(sink, { name: 's3' })
}

const idsIn = ({ objects }: Store) =>
  [...objects]
    .filter(([key]) => key.endsWith('.gz'))
    .flatMap(([, bytes]) => gunzipSync(bytes).toString().trimEnd().split('\n'))
    .map((line) => JSON.parse(line).id)

describe('a type in a key', () => {
  const digest = /~[0-9a-f]{16}$/

  test('property: a part of at most 255 bytes, that decodes, and tells types apart', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 1024, unit: 'binary' }),
      fc.string({ minLength: 100, maxLength: 300, unit: 'grapheme' }),
      fc.string({ minLength: 240, maxLength: 260, unit: fc.constantFrom('a', 'é', '€', '😀', '%', '/', '.') }),
    )
    fc.assert(
      fc.property(text, text, (one, other) => {
        const encoded = encodeType(one)
        expect(Buffer.byteLength(`type=${encoded}`)).toBeLessThanOrEqual(255)
        expect(encoded).toMatch(/^[\w!.*'()~%-]*$/)
        const decoded = decodeURIComponent(encoded)
        if (digest.test(encoded)) expect(one.toWellFormed().startsWith(decoded.replace(digest, ''))).toBe(true)
        else expect(decoded).toBe(one.toWellFormed())
        if (one.toWellFormed() !== other.toWellFormed()) expect(encodeType(other)).not.toBe(encoded)
      }),
      { numRuns: 500 },
    )
  })
})

describe('an object that the store can never take', () => {
  test.each([
    [400, 'XMinioInvalidObjectName'],
    [400, 'KeyTooLongError'],
    [413, 'EntityTooLarge'],
  ])('%i %s: its events are dead letters, all others are written, and offsets move on', async (status, code) => {
    const store = await startStore()
    store.refuse = (method, key) => (method === 'PUT' && key.includes('type=bad/') ? [status, code] : undefined)
    const sink = openSink(store)
    const rig = await startDelivery(temporaryDirectory(), sink)
    for (let at = 0; at < 3; at++) {
      const lines = Array.from({ length: 60 }, (_, id) => JSON.stringify(event(`${at}-${id}`, id % 3 ? 'good' : 'bad')))
      await rig.log.append([{ payload: Buffer.from(lines.join('\n')), count: lines.length }])
      await until(() => rig.delivery.lagEvents === 0, 10_000, 'settled')
    }
    expect(idsIn(store)).toHaveLength(120)
    expect(rig.delivery.settled).toMatchObject({ delivered: 120, deadLettered: 60 })
    const letters = await rig.delivery.deadLetters(100)
    expect(letters.map(({ event }) => event.type)).toEqual(new Array(60).fill('bad'))
    expect(letters[0]?.reason).toMatch(new RegExp(`events/type=bad/.* is refused: .*${code}`))
    // Once it can be taken, a replay delivers it.
    store.refuse = () => undefined
    expect(await rig.delivery.replay()).toEqual({ letters: 60, failedAgain: 0 })
    expect(new Set(idsIn(store)).size).toBe(180)
    expect(await rig.close()).toBe(true)
  })

  test.each([
    [403, 'AccessDenied'],
    [404, 'NoSuchBucket'],
    [400, 'ExpiredToken'],
    [400, 'AuthorizationHeaderMalformed'],
    [429, 'TooManyRequests'],
    [503, 'SlowDown'],
  ])('%i %s is about the store: all of it waits, nothing is given up', async (status, code) => {
    const store = await startStore()
    let isAway = true
    store.refuse = (method, key) => (isAway && method === 'PUT' && key.includes('type=') ? [status, code] : undefined)
    const sink = openSink(store)
    const rig = await startDelivery(temporaryDirectory(), sink)
    await rig.log.append([{ payload: Buffer.from(JSON.stringify(event('1', 'a'))), count: 1 }])
    await until(() => sink.failure !== undefined, 5000, 'failing')
    expect(rig.delivery.deadLettersPending).toBe(0)
    isAway = false
    await until(() => rig.delivery.lagEvents === 0, 10_000, 'settled')
    expect(idsIn(store)).toEqual(['1'])
    expect(await rig.close()).toBe(true)
  })
})

describe('without permission to list the bucket, what is not there is forbidden', () => {
  const forbidMissing = (store: Store) => {
    store.refuse = (method, key) => (method === 'GET' && !store.objects.has(key) ? [403, 'AccessDenied'] : undefined)
  }

  test('the sink works, and a repeat still finds its cuts', async () => {
    const store = await startStore()
    forbidMissing(store)
    const [first, second] = [openSink(store), openSink(store)]
    const { signal } = new AbortController()
    await first.write(batchOf(event('1', 'a')), signal)
    await first.flush()
    await second.write(batchOf(event('1', 'a')), signal)
    await second.flush()
    expect(idsIn(store)).toEqual(['1'])
    expect(JSON.parse(String(store.objects.get(CUTS)))).toEqual({ cuts: [0, 1] })
  })

  test.each([
    ['GET', 's3:GetObject'],
    ['PUT', 's3:PutObject'],
  ])('without %s, the failure names %s', async (missing, permission) => {
    const store = await startStore()
    store.objects.set(CUTS, Buffer.from('{"cuts":[0,7]}'))
    store.refuse = (method) => (method === missing || method === 'GET' ? [403, 'AccessDenied'] : undefined)
    const write = openSink(store).write(batchOf(event('1', 'a')), new AbortController().signal)
    await expect(write).rejects.toThrow(`allow ${permission} on ${CUTS}`)
    expect(String(store.objects.get(CUTS))).toBe('{"cuts":[0,7]}')
  })
})

test('property: events of any type, with any text in them, all arrive', async () => {
  const store = await startStore()
  const text = fc.string({ minLength: 1, maxLength: 300, unit: 'binary' })
  const record = fc.record({ type: text, data: fc.jsonValue() })
  await fc.assert(
    fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 20 }), async (events) => {
      store.objects.clear()
      const sink = openSink(store)
      const sent = events.map(({ type, data }, id) => ({ ...event(String(id), type), data }))
      await sink.write(batchOf(...sent), new AbortController().signal)
      await sink.flush()
      expect(idsIn(store).sort()).toEqual(sent.map(({ id }) => id).sort())
      for (const key of store.objects.keys()) {
        for (const part of key.split('/')) expect(Buffer.byteLength(part)).toBeLessThanOrEqual(255)
      }
    }),
    { numRuns: 20 },
  )
})

/**
 * A delivery that is killed: batches of other sizes in each life, offsets committed up to what is durable without a gap. In
 * the last life nothing is killed.
 */
interface Life {
  readonly batches: readonly number[]
  /** After how many batches it is looked at what is durable. */
  readonly killedAfter: number
  readonly waitMs: number
}

test('property: whenever it is killed, and however batches fall, each event is in one object', async () => {
  const life: fc.Arbitrary<Life> = fc.record({
    batches: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 }),
    killedAfter: fc.integer({ min: 1, max: 8 }),
    waitMs: fc.integer({ min: 0, max: 15 }),
  })
  const total = 60
  const all = Array.from({ length: total }, (_, offset) => itemIn({ event: event(`e${offset}`, 'a'), offset }))
  const store = await startStore()
  const { signal } = new AbortController()

  /** @returns the offset that is committed when it ends. */
  const live = async (from: number, batches: Iterable<number>, killedAfter: number, waitMs: number) => {
    const sink = openSink(store, [], 10)
    const settled: boolean[] = []
    const ends: number[] = []
    let offset = from
    for (const size of batches) {
      if (offset >= total || ends.length >= killedAfter) break
      const items = all.slice(offset, offset + size)
      await sink.write(SinkBatch.of(items), signal)
      const at = ends.push(offset + items.length) - 1
      sink.durable().then(() => (settled[at] = true))
      offset += items.length
    }
    await sleep(waitMs)
    const open = ends.findIndex((_, at) => settled[at] !== true)
    const committed = open === -1 ? offset : (ends[open - 1] ?? from)
    if (killedAfter === Number.POSITIVE_INFINITY) await sink.flush()
    await sink.close()
    await sleep(10) // a process takes longer to start: what was on its way to the store has arrived
    return committed
  }

  await fc.assert(
    fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 5 }), async (lives) => {
      store.objects.clear()
      let committed = 0
      for (const { batches, killedAfter, waitMs } of lives)
        committed = await live(committed, batches, killedAfter, waitMs)
      const rest = Array.from({ length: total }, () => 7)
      await live(committed, rest, Number.POSITIVE_INFINITY, 0)
      expect(idsIn(store).sort()).toEqual(all.map(({ id }) => id).sort())
    }),
    { numRuns: 60 },
  )
}, 60_000)
