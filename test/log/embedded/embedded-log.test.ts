import { spawnSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { EmbeddedLog, type EmbeddedLogOptions } from '../../../app/log/embedded/embedded-log.ts'
import { type File, type Files, nodeFiles } from '../../../app/log/embedded/files.ts'
import { GROUP_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../../../app/log/embedded/format.ts'
import type { Damage } from '../../../app/log/log.ts'
import { batchOf, readAll, settledUpTo } from '../../support/batch.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

const SMALL = { segmentBytes: 64 * 1024, maxBytes: 1024 * 1024, retentionMs: 0 }

async function open(directory: string, options: Partial<EmbeddedLogOptions> = {}): Promise<EmbeddedLog> {
  const log = await EmbeddedLog.open({ ...SMALL, directory, ...options })
  onTestFinished(() => log.close())
  return log
}

function segmentsIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.seg'))
    .sort()
}

/** Files whose calls can be made to fail; everything else is the real file system. */
function failingFiles(fail: (bytes: number) => Error | number | undefined): Files {
  const wrap = (file: File): File => ({
    read: (...args) => file.read(...args),
    truncate: (bytes) => file.truncate(bytes),
    stat: () => file.stat(),
    close: () => file.close(),
    write: async (buffer, offset, length, position) => {
      const outcome = fail(length)
      if (outcome instanceof Error) throw outcome
      return file.write(buffer, offset, outcome ?? length, position)
    },
    datasync: () => file.datasync(),
  })
  return { ...nodeFiles, open: async (path, mode) => wrap(await nodeFiles.open(path, mode)) }
}

const systemError = (code: string) => Object.assign(new Error(`${code}: made up`), { code })

describe('append and read', () => {
  test('what was appended is read back in order, by every consumer on its own', async () => {
    const log = await open(temporaryDirectory())
    const [a, b] = [await log.consumer('a'), await log.consumer('b')]
    await log.append([batchOf(1, 2), batchOf(3)])
    await log.append([batchOf(4)])
    expect(await readAll(a, log)).toEqual([1, 2, 3, 4])
    expect(await readAll(b, log)).toEqual([1, 2, 3, 4])
    expect(log.endOffset).toBe(4)
  })

  test('a waiting consumer wakes when something is durable', async () => {
    const log = await open(temporaryDirectory())
    const consumer = await log.consumer('a')
    const reading = consumer.read(AbortSignal.timeout(5000))
    await log.append([batchOf('late')])
    expect((await reading)?.count).toBe(1)
  })

  test('no wake-up is lost when appends and reads race', async () => {
    const log = await open(temporaryDirectory())
    const consumer = await log.consumer('a')
    const ids = Array.from({ length: 300 }, (_, id) => id)
    const writing = (async () => {
      for (const id of ids) await log.append([batchOf(id)])
    })()
    const read: unknown[] = []
    while (read.length < ids.length) {
      const group = await consumer.read(AbortSignal.timeout(5000))
      if (group === undefined) break
      read.push(JSON.parse(group.payload.toString()).id)
    }
    await writing
    expect(read).toEqual(ids)
  })

  test('no wake-up is lost, at whichever step of a read the sync returns', async () => {
    let gate = Promise.resolve()
    let gated = false
    const wrap = (file: File): File => ({
      read: (...args) => file.read(...args),
      write: async (...args) => {
        const bytes = await file.write(...args)
        if (gated) await gate
        return bytes
      },
      truncate: (bytes) => file.truncate(bytes),
      stat: () => file.stat(),
      close: () => file.close(),
      datasync: () => file.datasync(),
    })
    const files: Files = { ...nodeFiles, open: async (path, mode) => wrap(await nodeFiles.open(path, mode)) }
    const log = await open(temporaryDirectory(), { files })
    const consumer = await log.consumer('a')
    await log.append([batchOf('first')])
    await consumer.read(AbortSignal.timeout(1000))
    gated = true
    for (let step = 0; step < 12; step++) {
      const sync = Promise.withResolvers<void>()
      gate = sync.promise
      const appending = log.append([batchOf(step)])
      await new Promise((resolve) => setTimeout(resolve, 5)) // written, the sync is under way
      const reading = consumer.read(AbortSignal.timeout(1000))
      sync.resolve()
      for (let turn = 0; turn < step; turn++) await Promise.resolve()
      await appending
      expect((await reading)?.count, `step ${step}`).toBe(1)
      // Another order: the sync returns first, the read begins so many steps later.
      const next = Promise.withResolvers<void>()
      gate = next.promise
      const second = log.append([batchOf(`${step}b`)])
      await new Promise((resolve) => setTimeout(resolve, 5))
      next.resolve()
      for (let turn = 0; turn < step; turn++) await Promise.resolve()
      const late = consumer.read(AbortSignal.timeout(1000))
      await second
      expect((await late)?.count, `step ${step}`).toBe(1)
    }
  })

  test('an event larger than a segment and than the read-ahead gets through', async () => {
    const log = await open(temporaryDirectory())
    const consumer = await log.consumer('a')
    const payload = Buffer.from(JSON.stringify({ id: 'big', data: 'x'.repeat(400_000) }))
    await log.append([{ payload, count: 1 }])
    await log.append([batchOf('after')])
    expect(await readAll(consumer, log)).toEqual(['big', 'after'])
  })
})

describe('reopening', () => {
  test('a consumer goes on where it committed, in the middle of a group too', async () => {
    const directory = temporaryDirectory()
    const first = await open(directory)
    const consumer = await first.consumer('a')
    await first.append([batchOf(0, 1, 2, 3)])
    await readAll(consumer, first)
    await consumer.commit(settledUpTo(2, 1))
    await first.close()

    const second = await open(directory)
    const again = await second.consumer('a')
    expect(again.progress).toEqual({ offset: 2, startOffset: 0, deadLettered: 1, damaged: 0 })
    expect(again.lagEvents).toBe(2)
    expect((await again.read(AbortSignal.timeout(100)))?.baseOffset).toBe(0)
  })

  test('offsets go on after the last event and the id stays', async () => {
    const directory = temporaryDirectory()
    const first = await open(directory)
    await first.append([batchOf(1, 2)])
    const { id } = first
    await first.close()
    const second = await open(directory)
    expect([second.id, second.endOffset]).toEqual([id, 2])
  })

  test('property: any sequence of appends, commits and reopenings delivers every event once and in order', async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant('append' as const),
          sizes: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('consume' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const directory = temporaryDirectory()
        const options = { ...SMALL, directory, segmentBytes: 2048 }
        let log = await EmbeddedLog.open(options)
        let consumer = await log.consumer('a')
        let sent = 0
        const got: unknown[] = []
        const consume = async () => {
          got.push(...(await readAll(consumer, log)))
          await consumer.commit(settledUpTo(log.endOffset))
        }
        for (const step of steps) {
          if (step.kind === 'append') {
            await log.append(step.sizes.map((size) => batchOf(...Array.from({ length: size }, () => sent++))))
          } else if (step.kind === 'consume') {
            await consume()
          } else {
            await log.close()
            log = await EmbeddedLog.open(options)
            consumer = await log.consumer('a')
          }
          expect(log.endOffset).toBe(sent)
        }
        // What was read but not committed before a reopening may come again: here every read is committed.
        await consume()
        await log.close()
        expect(got).toEqual(Array.from({ length: sent }, (_, id) => id))
      }),
      { numRuns: 40 },
    )
  })
})

describe('segments and retention', () => {
  test('only segments that every consumer is past are deleted', async () => {
    const directory = temporaryDirectory()
    const log = await open(directory, { segmentBytes: 1024, maxBytes: 1024 * 1024 })
    const [fast, slow] = [await log.consumer('fast'), await log.consumer('slow')]
    for (let id = 0; id < 100; id++) await log.append([batchOf(id)])
    const before = segmentsIn(directory).length
    expect(before).toBeGreaterThan(5)

    await fast.commit(settledUpTo(100))
    expect(segmentsIn(directory).length).toBe(before)
    expect(log.firstOffset).toBe(0)

    await new Promise((resolve) => setTimeout(resolve, 5))
    await slow.commit(settledUpTo(50))
    expect(log.firstOffset).toBeGreaterThan(0)
    expect(log.firstOffset).toBeLessThanOrEqual(50)
    expect(await readAll(slow, log)).toEqual(
      Array.from({ length: 100 - log.firstOffset }, (_, at) => at + log.firstOffset),
    )
  })

  test('a full log refuses, keeps what it has, and takes more once a consumer has moved on', async () => {
    const directory = temporaryDirectory()
    const log = await open(directory, { segmentBytes: 1024, maxBytes: 4096 })
    const consumer = await log.consumer('slow')
    let accepted = 0
    const fill = async () => {
      for (;;) {
        await log.append([batchOf(accepted)])
        accepted += 1
      }
    }
    await expect(fill()).rejects.toMatchObject({ code: 'LOG_FULL', retryable: true })
    expect(log.sizeBytes).toBeLessThanOrEqual(4096)
    expect(log.fill).toBeGreaterThan(0.9)
    expect(await readAll(consumer, log)).toHaveLength(accepted)
    await consumer.commit(settledUpTo(accepted))
    await log.append([batchOf(accepted)])
    expect(await readAll(consumer, log)).toEqual([accepted])
  })

  test('a consumed log takes whatever fits into an empty one', async () => {
    const log = await open(temporaryDirectory(), { segmentBytes: 1024, maxBytes: 4096 })
    const consumer = await log.consumer('a')
    const large = { payload: Buffer.from(JSON.stringify({ id: 'large', data: 'x'.repeat(2500) })), count: 1 }
    for (let at = 1; at <= 5; at++) {
      await log.append([large])
      expect(log.sizeBytes).toBeLessThanOrEqual(4096)
      expect(await readAll(consumer, log)).toEqual(['large'])
      await consumer.commit(settledUpTo(at))
    }
  })

  test('a segment that cannot be deleted fails nothing; it goes when it can be', async () => {
    const directory = temporaryDirectory()
    let broken = true
    const remove = async (path: string) => {
      if (broken && path.endsWith('.seg')) throw systemError('EPERM')
      await nodeFiles.remove(path)
    }
    const warnings: string[] = []
    const observer = { onWarning: (message: string) => void warnings.push(message) }
    const log = await open(directory, { segmentBytes: 1024, files: { ...nodeFiles, remove }, observer })
    const consumer = await log.consumer('a')
    for (let id = 0; id < 50; id++) {
      await log.append([batchOf(id)])
      await consumer.commit(settledUpTo(id + 1))
    }
    expect(log.failure).toBeUndefined()
    expect(segmentsIn(directory).length).toBeGreaterThan(3)
    expect(log.sizeBytes).toBeGreaterThan(3 * 900) // what is there counts
    expect(warnings).toEqual([expect.stringMatching(/^a segment in .* cannot be deleted: EPERM/)])
    const large = { payload: Buffer.from(JSON.stringify({ data: 'x'.repeat(60_000) })), count: 1 }
    const tooMuch = async () => {
      for (let at = 51; ; at++) {
        await log.append([large])
        await consumer.commit(settledUpTo(at))
      }
    }
    await expect(tooMuch()).rejects.toMatchObject({ code: 'LOG_FULL' })
    expect(log.sizeBytes).toBeLessThanOrEqual(SMALL.maxBytes)
    broken = false
    await log.append([batchOf('last')])
    await consumer.commit(settledUpTo(log.endOffset))
    expect(segmentsIn(directory).length).toBeLessThanOrEqual(2)
  })

  test('a consumed log is not full, however old what it keeps', async () => {
    const log = await open(temporaryDirectory(), { segmentBytes: 1024, maxBytes: 4096, retentionMs: 1e9 })
    const consumer = await log.consumer('a')
    for (let id = 0; id < 200; id++) {
      await log.append([batchOf(id)])
      await consumer.commit(settledUpTo(id + 1))
    }
    expect(log.sizeBytes).toBeLessThanOrEqual(4096)
    expect(log.fill).toBeLessThan(0.5)
  })

  test('the newest events stay as long as asked, while there is room', async () => {
    const directory = temporaryDirectory()
    const log = await open(directory, { segmentBytes: 1024, maxBytes: 1024 * 1024, keepEvents: 60 })
    const consumer = await log.consumer('a')
    for (let id = 0; id < 100; id++) await log.append([batchOf(id)])
    await new Promise((resolve) => setTimeout(resolve, 5))
    await consumer.commit(settledUpTo(100))
    expect(log.firstOffset).toBeGreaterThan(20)
    expect(log.firstOffset).toBeLessThanOrEqual(40)
    await log.close()

    const full = await open(directory, { segmentBytes: 1024, maxBytes: 4096, keepEvents: 60 })
    const again = await full.consumer('a')
    for (let id = 100; id < 200; id++) {
      await full.append([batchOf(id)])
      await again.commit(settledUpTo(id + 1))
    }
    expect(full.firstOffset).toBeGreaterThan(140)
  })

  test('a consumer far behind finds its place through the index', async () => {
    const directory = temporaryDirectory()
    const first = await open(directory, { segmentBytes: 16 * 1024 * 1024, maxBytes: 64 * 1024 * 1024 })
    const consumer = await first.consumer('a')
    const filler = 'x'.repeat(100_000)
    for (let id = 0; id < 30; id++)
      await first.append([{ payload: Buffer.from(JSON.stringify({ id, data: filler })), count: 1 }])
    await consumer.commit(settledUpTo(27))
    await first.close()
    const second = await open(directory, { segmentBytes: 1024, maxBytes: 64 * 1024 * 1024 })
    const again = await second.consumer('a')
    await second.append([batchOf('rolled')])
    expect(readdirSync(directory).filter((name) => name.endsWith('.idx'))).toHaveLength(1)
    expect(await readAll(again, second)).toEqual([27, 28, 29, 'rolled'])
  })
})

describe('space allocated ahead', () => {
  const ROOMY = { ...SMALL, segmentBytes: 1024 * 1024, maxBytes: 3 * 1024 * 1024 }
  const sizeOf = (directory: string) => statSync(join(directory, segmentsIn(directory).at(-1) ?? '')).size

  test('small groups let their segment grow in steps, and a stop gives back what is not used', async () => {
    const directory = temporaryDirectory()
    const log = await EmbeddedLog.open({ ...ROOMY, directory })
    const sizes = new Set<number>()
    for (let id = 0; id < 100; id++) {
      await log.append([batchOf(id)])
      sizes.add(sizeOf(directory))
    }
    expect([...sizes]).toEqual([256 * 1024])
    expect(log.sizeBytes).toBeLessThan(100 * 100)
    await log.close()
    expect(sizeOf(directory)).toBe(log.sizeBytes)
  })

  test('a large group takes none along', async () => {
    const directory = temporaryDirectory()
    const log = await EmbeddedLog.open({ ...ROOMY, directory })
    await log.append([{ payload: Buffer.from(`{"data":"${'x'.repeat(100_000)}"}`), count: 1 }])
    expect(sizeOf(directory)).toBe(log.sizeBytes)
    await log.close()
  })

  test('the limits of a segment and of the log hold for it too', async () => {
    const directory = temporaryDirectory()
    const limits = { segmentBytes: 100 * 1024, maxBytes: 210 * 1024 }
    const log = await EmbeddedLog.open({ ...SMALL, ...limits, directory })
    await log.consumer('a')
    const batch = { payload: Buffer.from(`{"data":"${'x'.repeat(1000)}"}`), count: 1 }
    let bytes = 0
    for (;;) {
      const appended = await log.append([batch]).catch((error) => error)
      bytes = segmentsIn(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
      expect(bytes).toBeLessThanOrEqual(limits.maxBytes)
      if (appended instanceof Error) break
    }
    expect(bytes).toBeGreaterThan(0.99 * limits.maxBytes)
    await log.close()
  })

  test('a disk that has no room for it still takes the groups', async () => {
    const files = failingFiles((bytes) => (bytes > 64 * 1024 ? systemError('ENOSPC') : undefined))
    const log = await EmbeddedLog.open({ ...ROOMY, directory: temporaryDirectory(), files })
    const consumer = await log.consumer('a')
    await log.append([batchOf(1)])
    await log.append([batchOf(2)])
    expect(await readAll(consumer, log)).toEqual([1, 2])
    await log.close()
  })
})

describe('damage', () => {
  async function written(directory: string, events: number): Promise<string> {
    const log = await EmbeddedLog.open({ ...SMALL, directory })
    await log.consumer('a')
    for (let id = 0; id < events; id++) await log.append([batchOf(id)])
    await log.close()
    return join(directory, segmentsIn(directory)[0] ?? '')
  }

  test('cut at any byte, the log opens and holds a whole prefix of what was written', async () => {
    const directory = temporaryDirectory()
    const path = await written(directory, 4)
    const whole = readFileSync(path)
    for (let bytes = 0; bytes < whole.length; bytes++) {
      writeFileSync(path, whole.subarray(0, bytes))
      const log = await EmbeddedLog.open({ ...SMALL, directory })
      const ids = await readAll(await log.consumer('a'), log)
      expect(ids).toEqual([0, 1, 2, 3].slice(0, ids.length))
      expect(log.endOffset).toBe(ids.length)
      await log.append([batchOf('next')])
      await log.close()
      if (segmentsIn(directory).length !== 1) throw new Error(`cut at ${bytes}: unexpected files`)
    }
  })

  test('with any one byte changed, everything outside its group is still read, and what is missing is counted', async () => {
    const directory = temporaryDirectory()
    const path = await written(directory, 4)
    const whole = readFileSync(path)
    const group = (whole.length - SEGMENT_HEADER_BYTES) / 4
    for (let at = 0; at < whole.length; at += 3) {
      const changed = Buffer.from(whole)
      changed[at] = (changed[at] ?? 0) ^ 0x55
      writeFileSync(path, changed)
      const damages: Damage[] = []
      const log = await EmbeddedLog.open({
        ...SMALL,
        directory,
        observer: { onDamage: (damage) => damages.push(damage) },
      })
      await log.append([batchOf('next')])
      const hit = at < SEGMENT_HEADER_BYTES ? -1 : Math.floor((at - SEGMENT_HEADER_BYTES) / group)
      const consumer = await log.consumer('a')
      expect(await readAll(consumer, log)).toEqual([...[0, 1, 2, 3].filter((id) => id !== hit), 'next'])
      if (hit >= 0) expect(damages).toHaveLength(1)
      if (hit >= 0 && hit < 3) {
        expect(damages[0]?.events).toBe(1)
        await consumer.commit(settledUpTo(log.endOffset))
        expect(consumer.progress.damaged).toBe(1)
        await consumer.commit(settledUpTo(log.endOffset))
        expect(consumer.progress.damaged).toBe(1)
      }
      await log.close()
      writeFileSync(join(directory, 'consumers.json'), '{"version":1,"consumers":{}}')
    }
    expect(readdirSync(join(directory, 'quarantine')).length).toBeGreaterThan(0)
  })

  test('a header inside the payload of an event is not taken for a group', async () => {
    const directory = temporaryDirectory()
    const path = await written(directory, 1)
    const header = readFileSync(path).subarray(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + GROUP_HEADER_BYTES)
    const log = await open(directory)
    await log.append([
      { payload: Buffer.from(JSON.stringify({ id: 'forged', data: header.toString('latin1') })), count: 1 },
    ])
    await log.append([batchOf('end')])
    expect(await readAll(await log.consumer('a'), log)).toEqual([0, 'forged', 'end'])
  })

  test('a missing segment is stepped over and its events are counted', async () => {
    const directory = temporaryDirectory()
    const log = await EmbeddedLog.open({ ...SMALL, directory, segmentBytes: 300 })
    await log.consumer('a')
    for (let id = 0; id < 20; id++) await log.append([batchOf(id)])
    await log.close()
    const lost = segmentsIn(directory)[2] ?? ''
    truncateSync(join(directory, lost), 0)
    const damages: Damage[] = []
    const again = await open(directory, { observer: { onDamage: (damage) => damages.push(damage) } })
    const ids = await readAll(await again.consumer('a'), again)
    expect(damages.reduce((sum, { events }) => sum + events, 0)).toBe(20 - ids.length)
    expect(ids.length).toBeGreaterThan(10)
    expect(ids).toContain(19)
  })

  test('segments of another log are moved aside, never delivered', async () => {
    const [mine, other] = [temporaryDirectory(), temporaryDirectory()]
    await written(mine, 2)
    const foreign = readFileSync(await written(other, 3))
    writeFileSync(join(mine, '00000000000000000002.seg'), foreign)
    const warnings: string[] = []
    const log = await open(mine, { observer: { onWarning: (message) => warnings.push(message) } })
    expect(await readAll(await log.consumer('a'), log)).toEqual([0, 1])
    expect(warnings.join()).toMatch(/belongs to another log/)
    expect(readdirSync(join(mine, 'quarantine'))).toEqual(['00000000000000000002.seg'])
  })

  test('damaged consumer progress starts over instead of stopping or skipping', async () => {
    const directory = temporaryDirectory()
    await written(directory, 3)
    writeFileSync(join(directory, 'consumers.json'), '{"version":1,"consumers":{"a":{"offset":"x"}}}')
    const warnings: string[] = []
    const log = await open(directory, { observer: { onWarning: (message) => warnings.push(message) } })
    expect(await readAll(await log.consumer('a'), log)).toEqual([0, 1, 2])
    expect(warnings.join()).toMatch(/consumers\.json is damaged/)
  })

  test('new events never get an offset that a consumer has settled, even when the log lost its end', async () => {
    const directory = temporaryDirectory()
    const path = await written(directory, 3)
    const log = await EmbeddedLog.open({ ...SMALL, directory })
    await (await log.consumer('a')).commit(settledUpTo(3))
    await log.close()
    truncateSync(path, SEGMENT_HEADER_BYTES + 20)
    const again = await open(directory)
    expect(again.endOffset).toBe(3)
    await again.append([batchOf('new')])
    expect(await readAll(await again.consumer('a'), again)).toEqual(['new'])
  })
})

describe('when the disk fails', () => {
  test('a full disk refuses the group, leaves nothing of it, and writing goes on when space returns', async () => {
    const directory = temporaryDirectory()
    let full = false
    let short = true
    const files = failingFiles((bytes) => {
      if (!full) return undefined
      if (short && bytes > 10) {
        short = false
        return 10 // half of it fits
      }
      return systemError('ENOSPC')
    })
    const log = await open(directory, { files })
    const consumer = await log.consumer('a')
    await log.append([batchOf(1)])
    full = true
    await expect(log.append([batchOf('refused')])).rejects.toMatchObject({ code: 'DISK_FULL', retryable: true })
    full = false
    await log.append([batchOf(2)])
    expect(await readAll(consumer, log)).toEqual([1, 2])
    await log.close()
    const again = await open(directory)
    expect(await readAll(await again.consumer('a'), again)).toEqual([1, 2])
  })

  test('after a failed sync nothing is acknowledged, the file is not written again, and every append says so', async () => {
    let broken = false
    let writes = 0
    const files = failingFiles(() => {
      writes += 1
      return broken ? systemError('EIO') : undefined
    })
    const failures: Error[] = []
    const log = await open(temporaryDirectory(), { files, observer: { onFailure: (error) => failures.push(error) } })
    await log.append([batchOf(1)])
    broken = true
    await expect(log.append([batchOf(2)])).rejects.toMatchObject({ code: 'LOG_FAILED' })
    const after = writes
    broken = false
    await expect(log.append([batchOf(3)])).rejects.toMatchObject({ code: 'LOG_FAILED' })
    expect(writes).toBe(after)
    expect(log.endOffset).toBe(1)
    expect(log.failure).toBe(failures[0])
    expect(failures).toHaveLength(1)
  })
})

describe('opening', () => {
  test('a second writer is told who has the directory', async () => {
    const directory = temporaryDirectory()
    await open(directory)
    await expect(open(directory)).rejects.toMatchObject({
      code: 'DATA_DIR_LOCKED',
      message: expect.stringContaining(`process ${process.pid}`),
    })
  })

  test('the lock of a killed process is gone at once', () => {
    const directory = temporaryDirectory()
    const script = `
      import { EmbeddedLog } from ${JSON.stringify(new URL('../../../app/log/embedded/embedded-log.ts', import.meta.url).href)}
      await EmbeddedLog.open({ directory: ${JSON.stringify(directory)}, segmentBytes: 65536, maxBytes: 1048576, retentionMs: 0 })
      process.kill(process.pid, 'SIGKILL')`
    for (let round = 0; round < 2; round++) {
      const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
        encoding: 'utf8',
      })
      expect(signal, stderr).toBe('SIGKILL')
    }
  })

  test.skipIf(process.getuid?.() === 0)(
    'a directory without write permission is named (root may write anywhere)',
    async () => {
      const directory = temporaryDirectory()
      chmodSync(directory, 0o500)
      await expect(open(directory)).rejects.toMatchObject({
        code: 'DATA_DIR_UNUSABLE',
        message: expect.stringContaining(directory),
      })
    },
  )

  test('a path that is a file is refused with what to do', async () => {
    const path = join(temporaryDirectory(), 'file')
    writeFileSync(path, '')
    await expect(open(path)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringContaining('DATA_DIR'),
    })
  })

  test('opening reads one segment, whatever the backlog', async () => {
    const directory = temporaryDirectory()
    const log = await EmbeddedLog.open({ ...SMALL, directory, segmentBytes: 4096 })
    await log.consumer('a')
    for (let id = 0; id < 500; id++) await log.append([batchOf(id)])
    await log.close()
    let bytesRead = 0
    const counting: Files = {
      ...nodeFiles,
      open: async (path, mode) => {
        const file = await nodeFiles.open(path, mode)
        const read: File['read'] = async (...args) => {
          const bytes = await file.read(...args)
          bytesRead += bytes
          return bytes
        }
        return {
          read,
          write: (...a) => file.write(...a),
          truncate: (b) => file.truncate(b),
          datasync: () => file.datasync(),
          stat: () => file.stat(),
          close: () => file.close(),
        }
      },
    }
    await open(directory, { segmentBytes: 4096, files: counting })
    const segments = segmentsIn(directory)
    expect(segments.length).toBeGreaterThan(5)
    const metadata = 1024
    expect(bytesRead).toBeLessThan(
      2 * segments.length * (SEGMENT_HEADER_BYTES + GROUP_HEADER_BYTES) +
        statSync(join(directory, segments.at(-1) ?? '')).size +
        metadata,
    )
  })
})
