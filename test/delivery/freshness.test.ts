/** How late a sink is: known from the log, whatever the reader, the sink and the disk do. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import type { Consumer, Log } from '../../app/log/log.ts'
import { numbered, openLog, type Rig, ScriptedSink, startDelivery } from '../support/delivery.ts'
import { corpus, effort } from '../support/effort.ts'
import { until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const PROGRAMS = 8

type Reading = 'works' | 'rejects' | 'hangs'

/** The log, with a reader that does what the program says. */
class FaultyLog {
  reading: Reading = 'works'
  readonly log: EmbeddedLog

  constructor(log: EmbeddedLog) {
    this.log = log
  }

  get view(): EmbeddedLog {
    const consumer = async (name: string): Promise<Consumer> => {
      const real = await this.log.consumer(name)
      return new Proxy(real, {
        get: (target, key) => {
          if (key === 'read') return (signal: AbortSignal) => this.#read(real, signal)
          const value = Reflect.get(target, key, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
        set: (target, key, value) => Reflect.set(target, key, value, target),
      })
    }
    return new Proxy(this.log, {
      get: (target, key) => {
        if (key === 'consumer') return consumer
        const value = Reflect.get(target, key, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    }) as EmbeddedLog & Log
  }

  async #read(consumer: Consumer, signal: AbortSignal) {
    if (this.reading === 'rejects') throw new Error('the disk is away')
    if (this.reading === 'hangs') {
      await new Promise<void>((resolve) => {
        const poll = setInterval(() => {
          if (this.reading === 'hangs' && !signal.aborted) return
          clearInterval(poll)
          resolve()
        }, 1)
      })
    }
    return consumer.read(signal)
  }
}

type Step =
  | { readonly do: 'append'; readonly events: number }
  | { readonly do: 'wait'; readonly seconds: number }
  | { readonly do: 'reading'; readonly how: Reading }
  | { readonly do: 'sink'; readonly how: 'takes' | 'is away' | 'refuses' }
  | { readonly do: 'restart' | 'damage' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('append' as const), events: fc.integer({ min: 1, max: 20 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      seconds: fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 5000 })),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('reading' as const),
      how: fc.constantFrom<Reading>('works', 'rejects', 'hangs'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('sink' as const),
      how: fc.constantFrom('takes' as const, 'is away' as const, 'refuses' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'damage' as const) }) },
)

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-01-31T12:00:00Z') }))
afterEach(() => void vi.useRealTimers())

async function runProgram(program: readonly Step[]): Promise<void> {
  const directory = temporaryDirectory()
  const sink = new ScriptedSink()
  let how: 'takes' | 'is away' | 'refuses' = 'takes'
  sink.behaviour = async (events) => {
    if (how === 'is away') throw new Error('away')
    return how === 'refuses' ? events.map((_, index) => ({ index, reason: 'no', retryable: false })) : undefined
  }
  /** When the event at each offset was appended, and the offset at which each group begins. */
  const appended: number[] = []
  const groups: number[] = []
  /** Where the groups begin that are damaged on disk: the one that waits may be the next one that is sound. */
  const damaged = new Set<number>()
  const isSound = (offset: number) => !damaged.has(groups.findLast((start) => start <= offset) ?? 0)
  let faulty = new FaultyLog(await openLog(join(directory, 'log')))
  let rig: Rig = await startDelivery(directory, sink, { log: faulty.view })
  const check = () => {
    const committed = appended.length - rig.delivery.lagEvents
    const ages = appended.slice(committed).map((atMs) => (Date.now() - atMs) / 1000)
    const soundAges = ages.filter((_, at) => isSound(committed + at))
    const { lagSeconds } = rig.delivery
    expect(lagSeconds).toBeGreaterThanOrEqual((soundAges[0] ?? 0) - 1)
    expect(lagSeconds).toBeLessThanOrEqual((ages[0] ?? 0) + 1)
  }
  /** Gives what can go on the time to do so, as the clock of the test stands still meanwhile. */
  const settle = async () => {
    for (let before = -1; before !== rig.delivery.lagEvents; ) {
      before = rig.delivery.lagEvents
      await new Promise((resolve) => setTimeout(resolve, 2))
      check()
    }
  }
  for (const one of program) {
    switch (one.do) {
      case 'append':
        groups.push(appended.length)
        await faulty.log.append([numbered(appended.length, appended.length + one.events)])
        for (let event = 0; event < one.events; event++) appended.push(Date.now())
        break
      case 'wait':
        vi.setSystemTime(Date.now() + 1000 * one.seconds)
        break
      case 'reading':
        faulty.reading = one.how
        break
      case 'sink':
        how = one.how
        break
      case 'damage':
        toggleDamage(damaged, groups.at(-1), join(directory, 'log'))
        break
      case 'restart':
        await rig.close(0)
        await faulty.log.close()
        faulty = new FaultyLog(await openLog(join(directory, 'log')))
        // A damaged end was cut off: those events are not there any more.
        appended.length = faulty.log.endOffset
        while ((groups.at(-1) ?? -1) >= appended.length) damaged.delete(groups.pop() as number)
        rig = await startDelivery(directory, sink, { log: faulty.view })
        break
    }
    check()
    await settle()
  }
  faulty.reading = 'works'
  how = 'takes'
  await until(() => rig.delivery.lagEvents === 0, 10_000, 'all is settled in the end')
  expect(rig.delivery.lagSeconds).toBe(0)
  await rig.close()
  await faulty.log.close()
}

/** Flips a bit of the last group's payload: the second time, the group is sound again. */
function toggleDamage(damaged: Set<number>, group: number | undefined, directory: string): void {
  const last =
    readdirSync(directory)
      .filter((name) => name.endsWith('.seg'))
      .sort()
      .at(-1) ?? ''
  const path = join(directory, last)
  const bytes = readFileSync(path)
  const end = bytes.findLastIndex((byte) => byte !== 0)
  if (group === undefined || end < 200) return
  if (!damaged.delete(group)) damaged.add(group)
  bytes[end - 1] = (bytes[end - 1] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

test('property: over programs of faults, lag is within a second of the truth', async () => {
  let programs = 0
  const { seed, ...amount } = effort(PROGRAMS, 0.5)
  const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
    programs += 1
    await runProgram(steps)
  })
  const failed = corpus<Step[]>(new URL('failed-programs.json', import.meta.url)).map((steps): [Step[]] => [steps])
  await fc.assert(property, { ...amount, seed, examples: failed })
  console.error(`  ${programs} programs, seed ${seed}`)
}, 120_000)

test.each([['rejects'], ['hangs']] as const)(
  'with a reader that %s, lag grows, and the failure is said',
  async (how) => {
    const directory = temporaryDirectory()
    const faulty = new FaultyLog(await openLog(join(directory, 'log')))
    const rig = await startDelivery(directory, new ScriptedSink(), { log: faulty.view })
    faulty.reading = how
    await new Promise((resolve) => setTimeout(resolve, 20))
    await faulty.log.append([numbered(0, 5)])
    await faulty.log.append([numbered(5, 10)])
    vi.setSystemTime(Date.now() + 3_600_000)
    expect(rig.delivery.lagSeconds).toBeGreaterThanOrEqual(3600)
    await until(() => rig.delivery.failure !== undefined, 20_000, 'it is said')
    expect(rig.delivery.failure).toMatch(
      how === 'hangs' ? /the log has given nothing for \d+ s/ : /the log cannot be read/,
    )
    await until(() => rig.warnings.length > 0, 10_000, 'and logged')
    faulty.reading = 'works'
    await until(() => rig.delivery.lagEvents === 0, 5000, 'settled')
    await rig.close()
    await faulty.log.close()
  },
  60_000,
)
