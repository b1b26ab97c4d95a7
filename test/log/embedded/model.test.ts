/**
 * Random programs against the embedded log on a file system that forgets, tears, reorders and fails, beside a plain model:
 *
 *     acknowledged ⊆ readable ⊆ sent, in order, each offset one event for ever, commits never moving back,
 *     and after the last fault it takes and gives events again
 *
 * Those that found something once are in failed-programs.json and run first; support/effort.ts says how many others do.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EmbeddedLog } from '../../../app/log/embedded/embedded-log.ts'
import type { Consumer } from '../../../app/log/log.ts'
import { corpus, effort } from '../../support/effort.ts'
import { type Fault, FaultFiles } from '../../support/fault-files.ts'

const PROGRAMS = 300
/** A new failure prints a program: add it, with what was wrong. */
const FAILED_ONCE = new URL('./failed-programs.json', import.meta.url)
const DIRECTORY = '/log'
const CONSUMERS = ['a', 'b'] as const
/** Small, so that a program meets full segments and a full log. */
const SEGMENT_BYTES = 1024
const MAX_BYTES = 8192

type Step =
  | { readonly step: 'append'; readonly events: number; readonly length: number }
  | { readonly step: 'read'; readonly consumer: 0 | 1; readonly groups: number }
  | { readonly step: 'commit'; readonly consumer: 0 | 1 }
  | { readonly step: 'reopen' }
  /** `power`: of the machine; else only the process ends. */
  | { readonly step: 'crash'; readonly afterCalls: number; readonly power: boolean }
  | { readonly step: 'faults'; readonly kinds: readonly Fault[] }

/** And the seed of the faults. */
type Program = [Step[], number]

const consumer = fc.constantFrom(0 as const, 1 as const)
const program = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        step: fc.constant('append' as const),
        events: fc.integer({ min: 1, max: 4 }),
        length: fc.integer({ min: 0, max: 400 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ step: fc.constant('read' as const), consumer, groups: fc.integer({ min: 1, max: 5 }) }),
    },
    { weight: 3, arbitrary: fc.record({ step: fc.constant('commit' as const), consumer }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant('reopen' as const) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        step: fc.constant('crash' as const),
        afterCalls: fc.integer({ min: 0, max: 12 }),
        power: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        step: fc.constant('faults' as const),
        kinds: fc.subarray<Fault>(['EIO', 'ENOSPC', 'short']),
      }),
    },
  ),
  { minLength: 5, maxLength: 40 },
)

/** One run: the log, what it was told, and what it must not forget. */
class Run {
  readonly files: FaultFiles
  #log: EmbeddedLog | undefined
  #consumers: Consumer[] = []
  #next = 0
  /** Whether the crash to come takes the machine. */
  #power = true
  /** Which event an offset is, once acknowledged or read. */
  readonly #events = new Map<number, number>()
  readonly #acknowledged = new Set<number>()
  /** Refused for lack of room: promised not to be there. */
  readonly #refused = new Set<number>()
  /** Of each consumer: end of what it has read since it was opened, what it committed for sure, and perhaps. */
  readonly #read: [number, number] = [0, 0]
  readonly #committed: [number, number] = [0, 0]
  readonly #attempted: [number, number] = [0, 0]

  constructor(seed: number) {
    this.files = new FaultFiles(seed)
  }

  async do(step: Step): Promise<void> {
    if (step.step === 'faults') this.files.faults = step.kinds
    else if (step.step === 'crash') {
      this.files.crashAfterCalls = step.afterCalls
      this.#power = step.power
    } else await this.#orCrash(this.#perform(step))
    // A log that failed says so in its health: its process is started again.
    if (this.#log?.failure) await this.#orCrash(this.#reopen())
  }

  /** The last fault is over. */
  async finish(): Promise<void> {
    this.files.faults = []
    this.files.crashAfterCalls = undefined
    await this.#reopen()
    const last = this.#next
    for (const index of [0, 1] as const) {
      await this.#readAll(index)
      await this.#commit(index) // which makes room in a full log
    }
    expect(await this.#append(1, 10), 'it takes events again').toBe(true)
    for (const index of [0, 1] as const) {
      await this.#readAll(index)
      expect([...this.#events.values()], 'it gives events again').toContain(last)
    }
    await this.#log?.close()
  }

  async #perform(step: Step): Promise<void> {
    if (step.step === 'reopen') return this.#reopen()
    if (this.#log === undefined && !(await this.#open())) return
    if (step.step === 'append') await this.#append(step.events, step.length)
    else if (step.step === 'read') await this.#readGroups(step.consumer, step.groups)
    else if (step.step === 'commit') await this.#commit(step.consumer)
  }

  /** Does it, unless the machine crashes: then what was not synced is gone, and the process starts again. */
  async #orCrash(work: Promise<void>): Promise<void> {
    const crashed = this.files.crashed().then(() => true)
    if (!(await Promise.race([work.then(() => false), crashed]))) return
    this.#forget()
    this.files.restart(this.#power)
    await this.#open()
  }

  async #reopen(): Promise<void> {
    await this.#log?.close()
    this.#forget()
    await this.#open()
  }

  #forget(): void {
    this.#log = undefined
    this.#consumers = []
  }

  /** @returns whether the disk let it. */
  async #open(): Promise<boolean> {
    const files = this.files
    const limits = { segmentBytes: SEGMENT_BYTES, maxBytes: MAX_BYTES, retentionMs: 0 }
    let log: EmbeddedLog | undefined
    const consumers: Consumer[] = []
    try {
      log = await EmbeddedLog.open({ directory: DIRECTORY, ...limits, files })
      for (const name of CONSUMERS) consumers.push(await log.consumer(name))
    } catch (error) {
      await log?.close()
      if (files.faults.length > 0) return false
      throw error
    }
    for (const index of [0, 1] as const) {
      const committed = consumers[index]?.committedOffset(0) ?? 0
      expect(committed, 'a commit moved back').toBeGreaterThanOrEqual(this.#committed[index])
      expect(committed, 'a commit nobody made').toBeLessThanOrEqual(
        Math.max(this.#attempted[index], this.#committed[index]),
      )
      this.#committed[index] = this.#read[index] = committed
    }
    this.#log = log
    this.#consumers = consumers
    return true
  }

  /** @returns whether it was acknowledged. */
  async #append(count: number, length: number): Promise<boolean> {
    const log = this.#log
    if (log === undefined) return false
    const ids = Array.from({ length: count }, () => this.#next++)
    const payload = Buffer.from(ids.map((id) => JSON.stringify({ id, padding: 'x'.repeat(length) })).join('\n'))
    const base = log.endOffset
    try {
      await log.append([{ payload, count }])
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === 'LOG_FULL' || code === 'DISK_FULL') for (const id of ids) this.#refused.add(id)
      else if (this.files.faults.length === 0) throw error
      return false
    }
    for (const [at, id] of ids.entries()) {
      this.#is(base + at, id)
      this.#acknowledged.add(id)
    }
    return true
  }

  async #readGroups(index: 0 | 1, groups: number): Promise<void> {
    for (let at = 0; at < groups; at++) if (!(await this.#readGroup(index))) return
  }

  async #readAll(index: 0 | 1): Promise<void> {
    while (await this.#readGroup(index));
    expect(this.#read[index], `consumer ${index} is behind`).toBe(this.#log?.endOffset)
  }

  async #readGroup(index: 0 | 1): Promise<boolean> {
    const [log, consumer] = [this.#log, this.#consumers[index]]
    if (log === undefined || consumer === undefined || this.#read[index] >= log.endOffset) return false
    const group = await consumer.read(AbortSignal.timeout(1000))
    if (group === undefined)
      throw new Error(`nothing came, although ${log.endOffset - this.#read[index]} events are there`)
    const ids = String(group.payload)
      .trim()
      .split('\n')
      .map((line) => Number(JSON.parse(line).id))
    expect(ids.length).toBe(group.count)
    for (const [at, id] of ids.entries()) {
      expect(id, 'never sent').toBeLessThan(this.#next)
      expect(this.#refused.has(id), `${id} was refused, and is there`).toBe(false)
      this.#is(group.baseOffset + at, id)
    }
    // What was acknowledged and lies between was jumped over.
    for (let offset = this.#read[index]; offset < group.baseOffset; offset++) {
      const id = this.#events.get(offset)
      expect(id !== undefined && this.#acknowledged.has(id), `acknowledged ${id} at ${offset} is gone`).toBe(false)
    }
    this.#read[index] = group.baseOffset + group.count
    return true
  }

  async #commit(index: 0 | 1): Promise<void> {
    const offset = this.#read[index]
    if (offset <= this.#committed[index]) return
    this.#attempted[index] = Math.max(this.#attempted[index], offset)
    try {
      await this.#consumers[index]?.commit([{ partition: 0, offset, deadLettered: 0, damaged: 0 }])
    } catch (error) {
      if (this.files.faults.length === 0) throw error
      return
    }
    this.#committed[index] = offset
  }

  #is(offset: number, id: number): void {
    const known = this.#events.get(offset)
    if (known !== undefined) expect(id, `offset ${offset} was ${known}`).toBe(known)
    this.#events.set(offset, id)
  }
}

test(
  'property: whatever program runs on a disk that forgets and fails, nothing acknowledged is lost',
  async () => {
    const { seed, ...amount } = effort(PROGRAMS)
    const examples = corpus<Program>(FAILED_ONCE)
    const sums = { programs: 0, steps: 0, injected: 0, forgotten: 0, crashes: 0 }
    const startedAt = performance.now()
    await fc.assert(
      fc.asyncProperty(program, fc.integer(), async (steps, faultSeed) => {
        const run = new Run(faultSeed)
        for (const step of steps) await run.do(step)
        await run.finish()
        sums.programs += 1
        sums.steps += steps.length
        sums.injected += run.files.injected
        sums.forgotten += run.files.forgotten
        sums.crashes += steps.filter(({ step }) => step === 'crash').length
      }),
      { ...amount, seed, examples, timeout: 10_000 },
    )
    const seconds = (performance.now() - startedAt) / 1000
    console.error(
      `  ${sums.programs} programs in ${seconds.toFixed(1)} s, seed ${seed}: ${sums.steps} steps, ${sums.crashes} crashes, ${sums.injected} faults, ${sums.forgotten} changes lost or torn`,
    )
  },
  10 * 60_000,
)
