/**
 * A consumer of the embedded log: a cursor over the segments. It stops at the end of the durable data, skips damage and
 * counts the events lost to it. Its progress is in the consumer store.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer, Damage, Group, Position, Settled } from '../log.ts'
import type { ConsumerProgress, ProgressStore } from './consumer-store.ts'
import type { File, Files } from './files.ts'
import { segmentName } from './format.ts'
import { SegmentScanner } from './segment-scanner.ts'
import { quarantine, type Segment } from './segments.ts'
import { SparseIndex } from './sparse-index.ts'

/**
 * Minimum time between two looks for new events once the consumer has read everything. At rest it sees an event at
 * once. Under load, a look for each group would cause a read and a write of the sink for each group, which together
 * cost more than the events.
 */
const LOOK_EVERY_MS = 25

/** The part of the log that a consumer uses. */
export interface ConsumerHost {
  readonly id: string
  readonly files: Files
  readonly directory: string
  readonly endOffset: number
  /** The segment that holds `offset`, or the first one after it. */
  segmentFor(offset: number): Segment
  segmentAfter(segment: Segment): Segment | undefined
  /** When the event at `offset` was appended, or slightly earlier. */
  appendedAtMs(offset: number): number
  noteAppended(offset: number, atMs: number): void
  /** Resolves when more is durable, the log closes, or the signal is aborted. */
  waitForAppend(signal: AbortSignal): Promise<void>
  readonly isClosed: boolean
  reportDamage(damage: Damage): void
  progressed(): Promise<void>
}

export class EmbeddedConsumer implements Consumer {
  readonly name: string
  /** Never called: no other process can read this log. */
  onRevoke: undefined
  /** Never set: there is only one partition, and `read` throws its errors. */
  readonly failure: undefined
  readonly readErrors = 0
  readonly #host: ConsumerHost
  readonly #store: ProgressStore
  /** Offset of the next event to read. */
  #next: number
  #segment: Segment | undefined
  #file: File | undefined
  #scanner: SegmentScanner | undefined
  /** The segment at the last look. Data after `bytes` is read after the next look. */
  #seen: Pick<Segment, 'sealed' | 'bytes'> = { sealed: false, bytes: 0 }
  #lastSeenMs = Number.NEGATIVE_INFINITY
  /** Ranges lost to damage that are read past but not yet committed past. */
  #gaps: { endOffset: number; events: number }[] = []
  #damage: Damage | undefined

  constructor(name: string, host: ConsumerHost, store: ProgressStore) {
    this.name = name
    this.#host = host
    this.#store = store
    this.#next = this.progress.offset
  }

  get progress(): ConsumerProgress {
    const progress = this.#store.get(this.name)
    if (progress === undefined) throw new Error(`consumer ${this.name} was not registered`)
    return progress
  }

  get settled(): Settled {
    const { offset, startOffset, deadLettered, damaged } = this.progress
    return { delivered: offset - startOffset - deadLettered - damaged, deadLettered, damaged }
  }

  committedOffset(): number {
    return this.progress.offset
  }

  get lagEvents(): number {
    return Math.max(0, this.#host.endOffset - this.progress.offset)
  }

  get oldestAppendedAtMs(): number | undefined {
    return this.lagEvents === 0 ? undefined : this.#host.appendedAtMs(this.progress.offset)
  }

  async read(signal: AbortSignal): Promise<Group | undefined> {
    while (!signal.aborted && !this.#host.isClosed) {
      const cursor = await this.#cursor()
      if (cursor === undefined) return undefined
      const { segment, scanner } = cursor
      const { sealed, bytes } = this.#seen
      const scanned = await scanner.next(bytes)
      if (scanned === undefined) {
        // It was already sealed at the last look, so all of it has been read.
        const following = sealed ? this.#host.segmentAfter(segment) : undefined
        // Do not await anything between this look and the wait: a wake-up would be lost.
        if (following !== undefined) await this.#enter(following)
        else if (this.#isEndLost(segment)) return this.#passLostEnd(segment)
        else if (segment.bytes === bytes && segment.sealed === sealed) await this.#host.waitForAppend(signal)
        else await this.#awaitAppend(segment, signal)
      } else if (scanned.kind === 'damage') {
        const { position, bytes, reason } = scanned
        const damage = { segment: segmentName(segment.baseOffset), position, bytes, events: 0, reason }
        const { files, directory } = this.#host
        this.#damage = this.#file ? await quarantine(files, directory, this.#file, damage) : damage
      } else {
        const { baseOffset, count, appendedAtMs, known } = scanned.header
        if (baseOffset + count <= this.#next) continue
        if (baseOffset > this.#next) this.#stepOver(baseOffset, segment, scanned.position)
        this.#next = baseOffset + count
        this.#host.noteAppended(baseOffset, appendedAtMs)
        const { payload } = scanned
        return { logId: this.#host.id, partition: 0, baseOffset, count, appendedAtMs, known, payload }
      }
    }
    return undefined
  }

  async commit(positions: readonly Position[]): Promise<void> {
    for (const position of positions) await this.#commit(position)
  }

  async #commit({ offset, deadLettered, damaged }: Position): Promise<void> {
    const before = this.progress
    if (offset < before.offset) return
    const passed = this.#gaps.filter((gap) => gap.endOffset > before.offset && gap.endOffset <= offset)
    await this.#store.set(this.name, {
      offset,
      startOffset: before.startOffset,
      deadLettered: before.deadLettered + deadLettered,
      damaged: before.damaged + damaged + passed.reduce((sum, gap) => sum + gap.events, 0),
    })
    this.#gaps = this.#gaps.filter((gap) => gap.endOffset > offset)
    await this.#host.progressed()
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = this.#scanner = this.#segment = undefined
    await file?.close()
  }

  /** Offsets [next, baseOffset) are no longer in the log: counts them, so that no event is missing silently. */
  #stepOver(baseOffset: number, segment: Segment, position: number): void {
    const events = baseOffset - this.#next
    const found = this.#damage ?? {
      segment: segmentName(segment.baseOffset),
      position,
      bytes: 0,
      reason: 'events are missing before this place',
    }
    this.#host.reportDamage({ ...found, events })
    this.#damage = undefined
    this.#gaps.push({ endOffset: baseOffset, events })
  }

  /** Whether the last thing read was damage at the very end of the log, where the next event may come late or never. */
  #isEndLost(segment: Segment): boolean {
    return this.#damage !== undefined && this.#seen.bytes === segment.bytes && this.#next < this.#host.endOffset
  }

  #passLostEnd(segment: Segment): Group {
    const { id, endOffset } = this.#host
    this.#stepOver(endOffset, segment, segment.bytes)
    this.#next = endOffset
    const appendedAtMs = segment.lastAppendedAtMs
    const nothing = { count: 0, payload: Buffer.alloc(0) }
    return { logId: id, partition: 0, baseOffset: endOffset, appendedAtMs, ...nothing }
  }

  async #awaitAppend(segment: Segment, signal: AbortSignal): Promise<void> {
    const waitMs = this.#lastSeenMs + LOOK_EVERY_MS - performance.now()
    if (waitMs > 1) await sleep(waitMs, undefined, { signal }).catch(() => undefined)
    this.#lastSeenMs = performance.now()
    const { sealed, bytes } = segment
    this.#seen = { sealed, bytes }
  }

  /** undefined: the log was closed meanwhile. */
  async #cursor(): Promise<{ segment: Segment; scanner: SegmentScanner } | undefined> {
    if (this.#scanner === undefined) await this.#enter(this.#host.segmentFor(this.#next), this.#next)
    return this.#segment && this.#scanner && { segment: this.#segment, scanner: this.#scanner }
  }

  async #enter(segment: Segment, offset?: number): Promise<void> {
    const { files, directory } = this.#host
    await this.close()
    const index =
      offset === undefined ? new SparseIndex() : await SparseIndex.load(files, directory, segment.baseOffset)
    const file = await files.open(join(directory, segmentName(segment.baseOffset)), 'read')
    if (this.#host.isClosed) return file.close() // its `close` was called before there was a file
    this.#file = file
    this.#scanner = new SegmentScanner(file, index.seek(offset ?? segment.baseOffset))
    this.#segment = segment
    this.#seen = { sealed: segment.sealed, bytes: segment.bytes }
  }
}
