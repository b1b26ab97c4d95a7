import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Event } from '../../app/event.ts'
import { CurrentFile } from '../../app/sinks/current-file.ts'
import { FileSink } from '../../app/sinks/file.ts'
import { batchOf } from '../support/events.ts'
import { until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const event = (id: number): Event => ({
  specversion: '1.0',
  id: String(id),
  source: '/s',
  type: 't',
  data: { text: 'a\nb' },
})
const events = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => event(from + at))
const idsIn = (path: string): string[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).id)
const finished = (directory: string) => readdirSync(directory).filter((name) => name.startsWith('events-'))

const onFailure = (error: Error) => {
  throw error
}

const onWarning = () => undefined
/** Every line that a reader finds, whatever its file is called. */
const idsBelow = (directory: string) => readdirSync(directory).flatMap((name) => idsIn(join(directory, name)))

describe('file sink', () => {
  test('writes complete CloudEvents, one a line, and finishes the file by rename when it is closed', async () => {
    const directory = temporaryDirectory()
    const sink = await FileSink.open({ directory, rollBytes: 1e6, rollMs: 1e6, onWarning, onFailure })
    await sink.write(batchOf(event(1), event(2)))
    await sink.flush()
    const lines = readFileSync(join(directory, 'current.ndjson'), 'utf8')
    expect(lines).toBe(`${JSON.stringify(event(1))}\n${JSON.stringify(event(2))}\n`)
    await sink.close()
    expect(readdirSync(directory)).toEqual([expect.stringMatching(/^events-\d{8}T\d{6}\.\d{3}Z-0\.ndjson$/)])
    expect(readFileSync(join(directory, finished(directory)[0] ?? ''), 'utf8')).toBe(lines)
  })

  test('rolls by size, and by age without further events', async () => {
    const directory = temporaryDirectory()
    const sink = await FileSink.open({ directory, rollBytes: 1024, rollMs: 100, onWarning, onFailure })
    for (let id = 0; id < 40; id++) await sink.write(batchOf(event(id)))
    const bySize = finished(directory).length
    expect(bySize).toBeGreaterThan(2)
    await until(() => finished(directory).length === bySize + 1, 2000, 'rolled by age')
    expect(
      finished(directory)
        .flatMap((name) => idsIn(join(directory, name)))
        .sort(),
    ).toEqual(
      events(0, 40)
        .map(({ id }) => id)
        .sort(),
    )
    await sink.close()
  })

  test('after a crash goes on behind the last whole line', async () => {
    const directory = temporaryDirectory()
    const whole = events(0, 3).map((event) => `${JSON.stringify(event)}\n`)
    writeFileSync(join(directory, 'current.ndjson'), `${whole.join('')}{"specversion":"1.0","id":"ha`)
    const sink = await FileSink.open({ directory, rollBytes: 1e6, rollMs: 1e6, onWarning, onFailure })
    await sink.write(batchOf(event(3)))
    expect(idsIn(join(directory, 'current.ndjson'))).toEqual(['0', '1', '2', '3'])
    await sink.close()
  })

  test('what is left of only half a line begins anew', async () => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'current.ndjson'), 'x'.repeat(200_000))
    const sink = await FileSink.open({ directory, rollBytes: 1e6, rollMs: 1e6, onWarning, onFailure })
    await sink.write(batchOf(event(1)))
    expect(idsIn(join(directory, 'current.ndjson'))).toEqual(['1'])
    await sink.close()
  })

  test('writes at the same time do not mix, and flushes and rolls come between them', async () => {
    const directory = temporaryDirectory()
    const sink = await FileSink.open({ directory, rollBytes: 5000, rollMs: 1e6, onWarning, onFailure })
    await Promise.all(
      Array.from({ length: 50 }, (_, at) => [
        sink.write(batchOf(...events(at * 10, at * 10 + 10))),
        sink.flush(),
      ]).flat(),
    )
    await sink.close()
    const ids = finished(directory).flatMap((name) => idsIn(join(directory, name)))
    expect(ids.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, id) => id))
  })

  test('a directory that cannot be used is refused at the start, with what to do', async () => {
    const path = join(temporaryDirectory(), 'file')
    writeFileSync(path, '')
    await expect(
      FileSink.open({ directory: path, rollBytes: 1, rollMs: 1, onWarning, onFailure }),
    ).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringMatching(/set FILE_SINK_DIR/),
    })
  })

  test('what goes wrong later is the trouble of the sink, not of an event, and it recovers', async () => {
    const directory = join(temporaryDirectory(), 'out')
    const sink = await FileSink.open({ directory, rollBytes: 1e6, rollMs: 1e6, onWarning, onFailure })
    rmSync(directory, { recursive: true })
    writeFileSync(directory, 'in the way')
    await expect(sink.write(batchOf(event(1)))).rejects.toThrow(/cannot write to/)
    rmSync(directory)
    mkdirSync(directory)
    await sink.write(batchOf(event(1)))
    expect(idsIn(join(directory, 'current.ndjson'))).toEqual(['1'])
    await sink.close()
  })

  test('of two that write to one directory each waits for the other, and no line is lost', async () => {
    const directory = temporaryDirectory()
    const options = { directory, rollBytes: 1e6, rollMs: 1e6, onWarning, onFailure }
    const [one, other] = [await FileSink.open(options), await FileSink.open(options)]
    await one.write(batchOf(event(1)))
    await expect(other.write(batchOf(event(2)))).rejects.toThrow(
      /another process writes there: give each a FILE_SINK_DIR/,
    )
    await one.write(batchOf(event(3)))
    await one.close()
    await other.write(batchOf(event(2)))
    await expect(one.write(batchOf(event(4)))).rejects.toThrow(/another process/)
    await other.close()
    await one.write(batchOf(event(4)))
    await one.close()
    const ids = finished(directory).flatMap((name) => idsIn(join(directory, name)))
    expect(ids.sort()).toEqual(['1', '2', '3', '4'])
  })

  test('after a failed sync nothing is called durable any more, and only a restart is left', async () => {
    const directory = temporaryDirectory()
    const failures: string[] = []
    const sink = await FileSink.open({
      directory,
      rollBytes: 1e6,
      rollMs: 1e6,
      onWarning,
      onFailure: ({ message }) => void failures.push(message),
    })
    await sink.write(batchOf(event(1)))
    await sink.flush()
    await sink.write(batchOf(event(2)))
    const probe = await open(join(directory, 'current.ndjson'), 'r')
    const datasync = vi.spyOn(Object.getPrototypeOf(probe), 'datasync').mockRejectedValueOnce(new Error('EIO: made up'))
    onTestFinished(() => datasync.mockRestore())
    await probe.close()
    // The kernel would say yes the second time.
    for (const step of [
      () => sink.flush(),
      () => sink.flush(),
      () => sink.write(batchOf(event(3))),
      () => sink.close(),
    ]) {
      await expect(step()).rejects.toThrow(/fdatasync failed in .*EIO: made up\): check the disk, then restart/)
    }
    expect(datasync).toHaveBeenCalledTimes(1)
    expect(failures).toHaveLength(1)
    expect(idsIn(join(directory, 'current.ndjson'))).toEqual(['1']) // what is in doubt is written again
  })
})

describe('when others touch current.ndjson between two flushes, what was written comes again', () => {
  const moved = (path: string, round: number) => renameSync(path, `${path}.${round}`)
  test.each([
    ['deleted', (path: string) => rmSync(path)],
    ['renamed', moved],
    [
      'renamed and compressed',
      (path: string, round: number) => {
        moved(path, round)
        rmSync(`${path}.${round}`)
      },
    ],
    [
      'copied and truncated',
      (path: string, round: number) => {
        copyFileSync(path, `${path}.${round}`)
        truncateSync(path)
      },
    ],
    [
      'replaced',
      (path: string) => {
        rmSync(path)
        writeFileSync(path, '')
      },
    ],
    ['deleted with its directory', (path: string) => rmSync(join(path, '..'), { recursive: true })],
    ['moved with its directory', (path: string, round: number) => moved(join(path, '..'), round)],
  ] as [string, (path: string, round: number) => void][])('%s', async (_, touch) => {
    const directory = join(temporaryDirectory(), 'out')
    const warnings: string[] = []
    const sink = await FileSink.open({
      directory,
      rollBytes: 1e6,
      rollMs: 1e6,
      onWarning: (text) => void warnings.push(text),
      onFailure,
    })
    await sink.write(batchOf(event(1)))
    await sink.flush()
    for (let round = 0; round < 3; round++) {
      await sink.write(batchOf(event(10 * round + 2)))
      touch(join(directory, 'current.ndjson'), round)
      await sink.write(batchOf(event(10 * round + 3)))
      await sink.flush()
      expect(idsBelow(directory)).toEqual(expect.arrayContaining([`${10 * round + 2}`, `${10 * round + 3}`]))
    }
    expect(warnings).toHaveLength(3)
    expect(warnings[0]).toMatch(
      /was moved, deleted or truncated: what it got since the last flush, \d+ bytes, is written/,
    )
    await sink.close()
    for (const name of finished(directory)) expect(readFileSync(join(directory, name)).includes(0)).toBe(false)
  })

  test('each time it is made: the flush fails, nothing is called durable, and nothing is lost', async () => {
    const directory = temporaryDirectory()
    const sink = await FileSink.open({ directory, rollBytes: 1e6, rollMs: 1e6, onWarning, onFailure })
    await sink.write(batchOf(event(1)))
    const place = vi.spyOn(CurrentFile.prototype, 'isInPlace').mockResolvedValue(false)
    onTestFinished(() => place.mockRestore())
    await expect(sink.flush()).rejects.toThrow(/moved or deleted each time it is made: stop what does that/)
    rmSync(join(directory, 'current.ndjson'))
    place.mockRestore()
    await sink.write(batchOf(event(2)))
    await sink.flush()
    expect(idsBelow(directory)).toEqual(['1', '2'])
    await sink.close()
  })

  test('more than is kept in memory is made durable while it is written', async () => {
    const directory = temporaryDirectory()
    const sink = await FileSink.open({ directory, rollBytes: 1e9, rollMs: 1e6, onWarning, onFailure })
    const large = (id: number): Event => ({ ...event(id), data: 'x'.repeat(1024 * 1024) })
    for (let id = 0; id < 30; id++) await sink.write(batchOf(large(id)))
    rmSync(join(directory, 'current.ndjson'))
    await sink.flush()
    expect(idsBelow(directory).length).toBeLessThan(10)
    await sink.close()
  })
})

describe('a finished file', () => {
  test('is never replaced: with a clock that stands still or goes back, offsets that repeat, a name that is taken', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-01-31T12:00:00Z') })
    onTestFinished(() => void vi.useRealTimers())
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'events-20260131T120000.000Z-0.ndjson'), `${JSON.stringify(event(0))}\n`)
    for (let start = 1; start < 5; start++) {
      const sink = await FileSink.open({ directory, rollBytes: 10, rollMs: 1e6, onWarning, onFailure })
      for (let id = 1; id < 4; id++) await sink.write(batchOf(event(10 * start + id)))
      await sink.close()
      if (start === 3) vi.setSystemTime(new Date('2026-01-31T11:59:59Z'))
    }
    expect(finished(directory)).toContain('events-20260131T120000.000Z-0-2.ndjson')
    expect(idsBelow(directory).sort()).toEqual([
      '0',
      ...[1, 2, 3, 4].flatMap((start) => [1, 2, 3].map((id) => `${start}${id}`)),
    ])
  })

  test('that cannot get its name costs no second copy: it goes on, and gets it later', async () => {
    const directory = temporaryDirectory()
    const warnings: string[] = []
    const sink = await FileSink.open({
      directory,
      rollBytes: 10,
      rollMs: 1e6,
      onWarning: (text) => void warnings.push(text),
      onFailure,
    })
    const isRoot = process.getuid?.() === 0
    const rename = vi.spyOn(CurrentFile.prototype, 'finish')
    onTestFinished(() => rename.mockRestore())
    if (isRoot) rename.mockRejectedValue(new Error('EACCES: made up'))
    else chmodSync(directory, 0o500)
    for (let id = 0; id < 5; id++) await sink.write(batchOf(event(id)))
    await sink.flush()
    expect(idsBelow(directory)).toEqual(['0', '1', '2', '3', '4'])
    expect(warnings).toEqual([expect.stringMatching(/current.ndjson in .* cannot be finished \(EACCES/)])
    rename.mockRestore()
    chmodSync(directory, 0o700)
    await until(() => finished(directory).length === 1, 5000, 'finished')
    await sink.write(batchOf(event(5)))
    await sink.close()
    expect(warnings).toHaveLength(2)
    expect(idsBelow(directory).sort()).toEqual(['0', '1', '2', '3', '4', '5'])
  })

  test('is closed by age over the whole range of FILE_SINK_ROLL_MS: none is closed early', async () => {
    const directory = temporaryDirectory()
    const sink = await FileSink.open({
      directory,
      rollBytes: 1e6,
      rollMs: 30 * 24 * 60 * 60 * 1000,
      onWarning,
      onFailure,
    })
    for (let id = 0; id < 5; id++) {
      await sink.write(batchOf(event(id)))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(finished(directory)).toEqual([])
    await sink.close()
  })
})

type Step = { readonly do: 'write'; readonly events: number } | { readonly do: Touch | 'flush' | 'crash' | 'close' }
type Touch = 'rename' | 'delete' | 'truncate' | 'remove directory'

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), events: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 3, arbitrary: fc.constant({ do: 'flush' as const }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constantFrom<Touch>('rename', 'delete', 'truncate', 'remove directory') }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('crash' as const, 'close' as const) }) },
  ),
  { maxLength: 25 },
)

test('property: what a flush has confirmed, and nobody has taken away since, is there, whatever others do meanwhile', async () => {
  const text = fc.string({ unit: 'binary', maxLength: 50 })
  await fc.assert(
    fc.asyncProperty(steps, text, async (program, data) => {
      const root = temporaryDirectory()
      const directory = join(root, 'out')
      const path = join(directory, 'current.ndjson')
      const open = () => FileSink.open({ directory, rollBytes: 600, rollMs: 1e6, onWarning, onFailure })
      let [sink, id] = [await open(), 0]
      /** Written since the last flush, and all that must be there. */
      let unconfirmed: string[] = []
      const confirmed = new Set<string>()
      const takenAway = () => {
        for (const one of existsSync(directory) ? readdirSync(directory) : []) {
          const gone = new Set(idsIn(join(directory, one)))
          for (const id of gone) confirmed.delete(id)
          // A file that is finished was confirmed when it was.
          if (one.startsWith('events-')) unconfirmed = unconfirmed.filter((id) => !gone.has(id))
        }
      }
      for (const step of program) {
        switch (step.do) {
          case 'write': {
            const some = Array.from({ length: step.events }, () => ({ ...event(id++), data }))
            await sink.write(batchOf(...some))
            unconfirmed.push(...some.map((one) => one.id))
            break
          }
          case 'flush':
          case 'close':
            await (step.do === 'flush' ? sink.flush() : sink.close())
            for (const one of unconfirmed) confirmed.add(one)
            unconfirmed = []
            break
          case 'crash':
            await sink.close() // the lock goes with a process; what was not confirmed comes again from the log
            sink = await open()
            await sink.write(batchOf(...unconfirmed.map((one) => ({ ...event(Number(one)), data }))))
            break
          case 'remove directory':
            takenAway()
            rmSync(directory, { recursive: true, force: true })
            break
          default: {
            if (!existsSync(path)) break
            if (step.do === 'rename') renameSync(path, join(root, `moved-${id++}`))
            else {
              for (const gone of idsIn(path)) confirmed.delete(gone)
              if (step.do === 'delete') rmSync(path)
              else truncateSync(path)
            }
          }
        }
      }
      await sink.close()
      for (const one of unconfirmed) confirmed.add(one)
      const moved = readdirSync(root).filter((name) => name.startsWith('moved-'))
      const there = [
        ...moved.flatMap((name) => idsIn(join(root, name))),
        ...(existsSync(directory) ? idsBelow(directory) : []),
      ]
      expect([...confirmed].filter((one) => !there.includes(one))).toEqual([])
    }),
    { numRuns: 150 },
  )
})
