/** What disks and people do to files that were sound: a start never needs help, and nothing wrong is ever served. */
import { describe, expect, test } from 'vitest'
import { EmbeddedLog } from '../../../app/log/embedded/embedded-log.ts'
import { GROUP_HEADER_BYTES, SEGMENT_HEADER_BYTES, segmentName } from '../../../app/log/embedded/format.ts'
import type { Damage } from '../../../app/log/log.ts'
import { FaultFiles } from '../../support/fault-files.ts'

const DIRECTORY = '/log'
const SEGMENT_BYTES = 256
const EVENTS = 9
const COMMITTED = 5
const ids = Array.from({ length: EVENTS }, (_, id) => id)
const path = (name: string) => `${DIRECTORY}/${name}`
const options = { directory: DIRECTORY, segmentBytes: SEGMENT_BYTES, maxBytes: 1024 * 1024, retentionMs: 1e9 }

/** Nine events, one a group, in three segments; consumer `a` has settled five of them. */
async function written(): Promise<Map<string, Buffer>> {
  const files = new FaultFiles(0)
  const log = await EmbeddedLog.open({ ...options, files })
  const consumer = await log.consumer('a')
  for (const id of ids) await log.append([{ payload: Buffer.from(JSON.stringify({ id })), count: 1 }])
  await consumer.commit([{ partition: 0, offset: COMMITTED, deadLettered: 0, damaged: 0 }])
  await log.close()
  return files.content()
}

interface Found {
  readonly events: unknown[]
  /** Of consumer `a` on opening. */
  readonly committed: number
  readonly damages: Damage[]
  readonly warnings: string[]
  readonly content: Map<string, Buffer>
}

/** Opens, takes one more event, and reads all there is. */
async function open(content: ReadonlyMap<string, Buffer>, consumer = 'fresh'): Promise<Found> {
  const files = FaultFiles.of(content)
  const damages: Damage[] = []
  const warnings: string[] = []
  const observer = {
    onDamage: (damage: Damage) => damages.push(damage),
    onWarning: (text: string) => warnings.push(text),
  }
  const log = await EmbeddedLog.open({ ...options, files, observer })
  const committed = (await log.consumer('a')).committedOffset()
  const reader = await log.consumer(consumer)
  await log.append([{ payload: Buffer.from('{"id":"next"}'), count: 1 }])
  const events: unknown[] = []
  for (let end = 0; end < log.endOffset; ) {
    const group = await reader.read(AbortSignal.timeout(2000))
    if (group === undefined) throw new Error('the rest of the log never comes')
    events.push(JSON.parse(String(group.payload)).id)
    end = group.baseOffset + group.count
  }
  await log.close()
  return { events, committed, damages, warnings, content: files.snapshot() }
}

const without = (...missing: number[]) => [...ids.filter((id) => !missing.includes(id)), 'next']
const inQuarantine = ({ content }: Found) => [...content.keys()].filter((name) => name.includes('/quarantine/'))
const segmentsOf = (content: Map<string, Buffer>) => [...content.keys()].filter((name) => name.endsWith('.seg')).sort()

function* flips(content: ReadonlyMap<string, Buffer>, name: string) {
  const whole = content.get(path(name)) ?? Buffer.of()
  for (let bit = 0; bit < 8 * whole.length; bit++) {
    const changed = Buffer.from(whole)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    yield { bit, changed: new Map(content).set(path(name), changed) }
  }
}

describe('every bit of a file, flipped one at a time', () => {
  test.each([0, 2])(
    'segment %i of three: only the event it was in is missing, is counted and kept aside',
    async (at) => {
      const content = await written()
      const name = segmentsOf(content)[at]?.slice(DIRECTORY.length + 1) ?? ''
      const first = 3 * at
      const groupBytes = ((content.get(path(name))?.length ?? 0) - SEGMENT_HEADER_BYTES) / 3
      let bits = 0
      for (const { bit, changed } of flips(content, name)) {
        const found = await open(changed)
        const hit = (bit >> 3) - SEGMENT_HEADER_BYTES
        const lost = hit < 0 ? [] : [first + Math.floor(hit / groupBytes)]
        expect(found.events, `bit ${bit}`).toEqual(without(...lost))
        expect(found.damages.length, `bit ${bit}`).toBe(lost.length)
        expect(inQuarantine(found).length, `bit ${bit}`).toBe(lost.length)
        bits += 1
      }
      console.error(`  ${bits} bits of ${name} flipped`)
    },
  )

  test('space that the writer had allocated and a power cut left there: no event is missing', async () => {
    const files = new FaultFiles(0)
    const log = await EmbeddedLog.open({ ...options, segmentBytes: 600, files })
    await log.consumer('a')
    for (const id of ids.slice(0, 3)) await log.append([{ payload: Buffer.from(JSON.stringify({ id })), count: 1 }])
    const content = files.snapshot()
    const [name = ''] = segmentsOf(content)
    const used = SEGMENT_HEADER_BYTES + 3 * (GROUP_HEADER_BYTES + '{"id":0}\n'.length)
    expect(content.get(name)?.length).toBe(600)
    for (const { bit, changed } of flips(content, name.slice(DIRECTORY.length + 1))) {
      if (bit < 8 * used) continue
      const { events, damages } = await open(changed)
      expect(events, `bit ${bit}`).toEqual([0, 1, 2, 'next'])
      expect(damages.length).toBe(1)
    }
    const { events, damages } = await open(content)
    expect([events, damages]).toEqual([[0, 1, 2, 'next'], []])
  })

  test('the progress of consumers: as it was, or from the oldest event on, never past what was settled', async () => {
    const content = await written()
    const seen = new Set<number>()
    for (const { bit, changed } of flips(content, 'consumers.json')) {
      const { committed, events } = await open(changed)
      expect([0, COMMITTED], `bit ${bit}`).toContain(committed)
      expect(events).toEqual(without())
      seen.add(committed)
    }
    expect(seen).toContain(0)
  })

  test('the identity of the log: its segments know it as well', async () => {
    const content = await written()
    for (const { bit, changed } of flips(content, 'log.json')) {
      const { events, committed } = await open(changed)
      expect([events, committed], `bit ${bit}`).toEqual([without(), COMMITTED])
    }
  })
})

test('cut at every byte: the groups before it are there, what is cut off is kept aside', async () => {
  const content = await written()
  const name = segmentsOf(content).at(-1) ?? ''
  const whole = content.get(name) ?? Buffer.of()
  const groupBytes = (whole.length - SEGMENT_HEADER_BYTES) / 3
  for (let bytes = 0; bytes < whole.length; bytes++) {
    const found = await open(new Map(content).set(name, whole.subarray(0, bytes)))
    const groups = Math.max(0, Math.floor((bytes - SEGMENT_HEADER_BYTES) / groupBytes))
    expect(found.events, `${bytes} bytes`).toEqual([...ids.slice(0, 6 + groups), 'next'])
    const torn = bytes > SEGMENT_HEADER_BYTES && (bytes - SEGMENT_HEADER_BYTES) % groupBytes > 0
    expect(inQuarantine(found).length, `${bytes} bytes`).toBe(torn ? 1 : 0)
  }
  expect(groupBytes).toBeGreaterThan(GROUP_HEADER_BYTES)
})

describe('segments that are not where they belong', () => {
  test.each([
    ['the first is missing', 0, [0, 1, 2], 0],
    ['one in the middle is missing', 1, [3, 4, 5], 3],
  ] as const)('%s: the others are read, what is missing is counted', async (_, at, lost, counted) => {
    const content = await written()
    content.delete(segmentsOf(content)[at] ?? '')
    const found = await open(content)
    expect(found.events).toEqual(without(...lost))
    expect(found.damages.reduce((sum, { events }) => sum + events, 0)).toBe(counted)
  })

  test('the last is missing: no offset that was settled is used again', async () => {
    const content = await written()
    const [, second = '', third = ''] = segmentsOf(content)
    content.delete(second)
    content.delete(third)
    const found = await open(content)
    expect(found.events).toEqual([0, 1, 2, 'next'])
    expect(segmentsOf(found.content)).toContain(path(segmentName(COMMITTED)))
  })

  test('a copy under another name, two that changed places, one of another log: set aside, never served', async () => {
    const [content, other] = [await written(), await written()]
    const [first = '', second = '', third = ''] = segmentsOf(content)
    const bytes = (name: string, from = content) => from.get(name) ?? Buffer.of()
    const copied = await open(new Map(content).set(path(segmentName(1)), bytes(first)))
    expect([copied.events, inQuarantine(copied).length]).toEqual([without(), 1])
    const swapped = await open(new Map(content).set(first, bytes(second)).set(second, bytes(first)))
    expect([swapped.events, inQuarantine(swapped).length]).toEqual([[6, 7, 8, 'next'], 2])
    const foreign = await open(new Map(content).set(second, bytes(second, other)))
    expect([foreign.events, inQuarantine(foreign).length]).toEqual([without(3, 4, 5), 1])
    expect(foreign.warnings.join()).toMatch(/belongs to another log/)
    expect(third).toMatch(/6\.seg$/)
  })

  test('files of nobody: empty, noise, zeros', async () => {
    const content = await written()
    const noise = Buffer.from(Array.from({ length: 300 }, (_, at) => (at * 7919) % 251))
    for (const bytes of [Buffer.alloc(0), noise, Buffer.alloc(300)]) {
      const found = await open(new Map(content).set(path(segmentName(20)), bytes).set(path('note.txt'), bytes))
      expect(found.events).toEqual(without())
    }
  })

  test('an empty one in the middle: no event is read past', async () => {
    const content = new Map(await written()).set(path(segmentName(COMMITTED)), Buffer.alloc(0))
    const found = await open(content, 'a')
    expect(found.events).toEqual([5, 6, 7, 8, 'next'])
    expect(found.damages).toEqual([])
  })
})

/** What a file system may do with a name that was made and taken away and never synced is up to the seed. */
describe('a segment that was given up, and a power cut', () => {
  const seeds = Array.from({ length: 32 }, (_, seed) => seed)
  const payload = (id: number, length: number) => Buffer.from(JSON.stringify({ id, padding: 'x'.repeat(length) }))
  const name = path(segmentName(1))

  test('that found no room: it does not come back over the events that went into the one before', async () => {
    for (const seed of seeds) {
      const files = new FaultFiles(seed)
      const log = await EmbeddedLog.open({ ...options, segmentBytes: 500, files })
      await log.consumer('a')
      await log.append([{ payload: payload(0, 200), count: 1 }])
      const openFile = files.open.bind(files)
      files.open = async (path, mode) => {
        const file = await openFile(path, mode)
        if (path !== name) return file
        return { ...file, write: () => Promise.reject(Object.assign(new Error('ENOSPC: made up'), { code: 'ENOSPC' })) }
      }
      await expect(log.append([{ payload: payload(1, 200), count: 1 }])).rejects.toMatchObject({ code: 'DISK_FULL' })
      await log.append([{ payload: payload(1, 0), count: 1 }])
      files.restart(true)
      expect([...files.content().keys()], `seed ${seed}`).not.toContain(name)
    }
  })

  test('that a start found without its header: the same', async () => {
    const log = new FaultFiles(0)
    const first = await EmbeddedLog.open({ ...options, files: log })
    await first.append([{ payload: payload(0, 0), count: 1 }])
    await first.close()
    for (const seed of seeds) {
      const files = FaultFiles.of(log.content().set(name, Buffer.alloc(0)), seed)
      const again = await EmbeddedLog.open({ ...options, files })
      await again.append([{ payload: payload(1, 0), count: 1 }])
      files.restart(true)
      expect([...files.content().keys()], `seed ${seed}`).not.toContain(name)
    }
  })
})

describe('another version of the format', () => {
  const asVersion = (bytes: Buffer, version: number) => {
    const changed = Buffer.from(bytes)
    changed.writeUInt16LE(version, 8)
    return changed
  }

  test('a directory of a newer one is refused, and left as it is', async () => {
    const content = await written()
    for (const name of segmentsOf(content)) content.set(name, asVersion(content.get(name) ?? Buffer.of(), 2))
    content.set(path('log.json'), Buffer.from(JSON.stringify({ version: 2, id: 'x'.repeat(36) })))
    const before = new Map(content)
    await expect(open(content)).rejects.toMatchObject({
      code: 'LOG_FORMAT',
      message: expect.stringMatching(
        /has format version 2; this Millrace reads version 1: start the version that wrote it/,
      ),
    })
    expect(content).toEqual(before)
  })
})
