/**
 * The embedded log: append-only segment files on local disk, one writer.
 *
 *     append ─▶ encode one group ─▶ synchronous write ─▶ durable: endOffset moves, waiting consumers wake
 *                    └─ segment full? seal it, create the next, sync the directory
 *
 * Constraints:
 *
 * - An event is neither reported durable nor read before its write, with the sync in it, has returned.
 * - A failed sync ends the log: no second sync, no further append. The kernel may have dropped the dirty pages and
 *   would report success next time (PostgreSQL met this in 2018).
 * - A write refused for lack of space is undone with ftruncate, so that a later append can succeed. Until one does,
 *   segments that every consumer has passed are deleted at once, and progress has a reserve (./reserve.ts).
 * - The total size never exceeds `maxBytes`. A segment is deleted only after every consumer has passed it.
 * - Opening reads one segment, however large the backlog is.
 *
 * On-disk format: ./format.ts.
 */
import { MillraceError, messageOf, systemCode } from '../../errors.ts'
import { type Batch, type Lost, NOTHING_LOST } from '../../write.ts'
import { AppendTimes } from '../append-times.ts'
import type { Damage, Log, LogObserver, SharedLog } from '../log.ts'
import { ActiveFile, GroupBuffer } from './active-file.ts'
import { ConsumerStore } from './consumer-store.ts'
import { createSegment, diskFull, identify, takeLock, tooManyFiles, unusable } from './directory.ts'
import { type ConsumerHost, EmbeddedConsumer } from './embedded-consumer.ts'
import { type File, type Files, nodeFiles } from './files.ts'
import { SEGMENT_HEADER_BYTES } from './format.ts'
import { isNoSpace, SpaceReserve } from './reserve.ts'
import { listSegments, recoverSegment, removeSegment, type Segment } from './segments.ts'
import { shareLog } from './share.ts'
import { SparseIndex } from './sparse-index.ts'
import { Waiters } from './waiters.ts'

export interface EmbeddedLogOptions {
  readonly directory: string
  /** A segment is sealed before it would grow past this. Bytes, at least 64 KiB. */
  readonly segmentBytes: number
  /** Hard limit of all segments together. Bytes, at least two segments. */
  readonly maxBytes: number
  /** How long a segment stays after every consumer has passed it, as long as there is room. Milliseconds. */
  readonly retentionMs: number
  /** How many of the newest events stay, whatever their age, as long as there is room. Default: 0. */
  readonly keepEvents?: number
  /** Default: the real file system. */
  readonly files?: Files
  readonly observer?: LogObserver
}

export class EmbeddedLog implements Log, ConsumerHost {
  readonly id: string
  readonly keyed = false
  readonly files: Files
  readonly directory: string
  readonly #options: EmbeddedLogOptions
  readonly #lock: { release(): Promise<void> }
  readonly #store: ConsumerStore
  readonly #reserve: SpaceReserve
  readonly #segments: Segment[]
  readonly #consumers = new Map<string, EmbeddedConsumer>()
  #file: ActiveFile
  #index: SparseIndex
  #endOffset: number
  readonly #group = new GroupBuffer()
  readonly #times: AppendTimes
  /** Size of all segments. */
  #sizeBytes: number
  #failure: MillraceError | undefined
  /** True from an append that was refused for lack of space until the next one that succeeds. */
  #lacksSpace = false
  #retainFailing = false
  #closed = false
  readonly #appended = new Waiters()

  private constructor(
    id: string,
    options: EmbeddedLogOptions,
    lock: { release(): Promise<void> },
    store: ConsumerStore,
    reserve: SpaceReserve,
    segments: Segment[],
    active: { file: File; index: SparseIndex; endOffset: number },
    times: AppendTimes,
  ) {
    this.id = id
    this.#options = options
    this.files = options.files ?? nodeFiles
    this.directory = options.directory
    this.#lock = lock
    this.#store = store
    this.#reserve = reserve
    this.#segments = segments
    this.#file = new ActiveFile(active.file, this.#active.bytes)
    this.#index = active.index
    this.#endOffset = active.endOffset
    this.#times = times
    this.#sizeBytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  /**
   * Opens or creates the log, and recovers it after a crash.
   * @throws MillraceError DATA_DIR_LOCKED (another process has it), DATA_DIR_UNUSABLE (cannot be created or written),
   *   LOG_FORMAT (written by a version this one cannot read).
   */
  static async open(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
    const { directory, files = nodeFiles, observer } = options
    const onWarning = (message: string) => observer?.onWarning?.(message)
    const lock = await takeLock(files, directory)
    try {
      // A killed process can leave names that are visible but not durable. Sync them before anything depends on them.
      await files.syncDirectory(directory)
      const reserve = new SpaceReserve(files, directory)
      // Before anything is written: this may refuse the directory, which must then stay as its own version left it.
      const store = await ConsumerStore.open(files, directory, reserve, onWarning)
      const id = await identify(files, directory)
      const segments = await listSegments(files, directory, id, onWarning)
      const times = new AppendTimes()
      for (const { baseOffset, firstAppendedAtMs } of segments) {
        if (firstAppendedAtMs !== undefined) times.add(baseOffset, firstAppendedAtMs)
      }
      let last = segments.at(-1)
      // An offset is never used twice, even if a power cut took its event after a sink had confirmed it.
      const settled = Math.max(0, ...[...store.names].map((name) => store.get(name)?.offset ?? 0))
      const onDamage = (damage: Damage) => observer?.onDamage?.(damage)
      let active = last && (await recoverSegment(files, directory, last, onDamage, times))
      if (active) times.cutOff(active.endOffset)
      if (last === undefined || active === undefined || active.endOffset < settled) {
        await active?.file.close()
        last = { baseOffset: settled, bytes: SEGMENT_HEADER_BYTES, sealed: false, lastAppendedAtMs: Date.now() }
        active = {
          file: await createSegment(files, directory, id, settled),
          index: new SparseIndex(),
          endOffset: settled,
        }
        segments.push(last)
      }
      last.sealed = false
      return new EmbeddedLog(id, options, lock, store, reserve, segments, active, times)
    } catch (error) {
      await lock.release()
      throw unusable(directory, error)
    }
  }

  /** Offset of the next event: every durable event is below it. */
  get endOffset(): number {
    return this.#endOffset
  }

  get committedEvents(): number {
    return this.#endOffset
  }

  get firstOffset(): number {
    return this.#segments[0]?.baseOffset ?? this.#endOffset
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get fill(): number {
    const settled = this.#settledOffset()
    let kept = 0
    for (const [at, segment] of this.#segments.entries()) {
      const next = this.#segments[at + 1]
      if (next === undefined || next.baseOffset > settled) kept += segment.bytes
    }
    return Math.min(1, kept / this.#options.maxBytes)
  }

  get failure(): MillraceError | undefined {
    return this.#failure
  }

  get isClosed(): boolean {
    return this.#closed
  }

  async append(batches: readonly Batch[]): Promise<readonly Lost[]> {
    if (this.#closed) throw new MillraceError('LOG_CLOSED', 'the log is closed')
    if (this.#failure) throw this.#failure
    const appendedAtMs = Date.now()
    this.#group.encode(batches, this.#endOffset)
    const { length, count } = this.#group
    await this.#makeRoom(length)

    const segment = this.#active
    const position = segment.bytes
    const startedAt = performance.now()
    try {
      await this.#file.write(this.#group, position, this.#limitBytes)
    } catch (error) {
      throw await this.#takeBack(position, error)
    }
    this.#options.observer?.onSync?.(performance.now() - startedAt, count)

    this.#index.add(this.#endOffset, position)
    this.#times.add(this.#endOffset, appendedAtMs)
    segment.bytes = position + length
    this.#sizeBytes += length
    segment.lastAppendedAtMs = Date.now()
    this.#endOffset += count
    this.#lacksSpace = false
    this.#appended.wake()
    return NOTHING_LOST
  }

  async consumer(name: string): Promise<EmbeddedConsumer> {
    if (this.#store.get(name) === undefined) {
      const offset = this.firstOffset
      await this.#store.set(name, { offset, startOffset: offset, deadLettered: 0, damaged: 0 })
    }
    const consumer = new EmbeddedConsumer(name, this, this.#store)
    this.#consumers.set(name, consumer)
    return consumer
  }

  share(): SharedLog {
    return shareLog(this, this.#store, this.#segments)
  }

  /** Names that have progress on disk but no consumer in this process: they hold nothing back. */
  get idleConsumers(): string[] {
    return [...this.#store.names].filter((name) => !this.#consumers.has(name))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#appended.wake()
    for (const consumer of this.#consumers.values()) await consumer.close()
    await this.#file.close(this.#failure === undefined ? this.#active.bytes : undefined)
    await this.#lock.release()
  }

  // For consumers

  segmentFor(offset: number): Segment {
    const at = this.#segments.findLastIndex((segment) => segment.baseOffset <= offset)
    return this.#segments[Math.max(0, at)] ?? this.#active
  }

  /** When `offset` was appended, or slightly earlier. */
  appendedAtMs(offset: number): number {
    return this.#times.at(offset) ?? this.segmentFor(offset).lastAppendedAtMs
  }

  noteAppended(offset: number, atMs: number): void {
    this.#times.add(offset, atMs)
  }

  segmentAfter(segment: Segment): Segment | undefined {
    return this.#segments.find(({ baseOffset }) => baseOffset > segment.baseOffset)
  }

  waitForAppend(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#closed) return Promise.resolve()
    return this.#appended.wait(signal)
  }

  reportDamage(damage: Damage): void {
    this.#options.observer?.onDamage?.(damage)
  }

  /** Deletes segments that every consumer has passed and that retention no longer keeps. */
  async progressed(): Promise<void> {
    if (this.#lacksSpace) return this.#retain(() => true)
    const oldest = Date.now() - this.#options.retentionMs
    const kept = this.#endOffset - (this.#options.keepEvents ?? 0)
    await this.#retain((segment, next) => segment.lastAppendedAtMs < oldest && next.baseOffset <= kept)
  }

  // Writing

  get #active(): Segment {
    const active = this.#segments.at(-1)
    if (active === undefined) throw new Error('a log always has an active segment')
    return active
  }

  /** Maximum length of the active segment with space allocated ahead. */
  get #limitBytes(): number {
    const { segmentBytes, maxBytes } = this.#options
    const others = this.sizeBytes - this.#active.bytes
    return this.#lacksSpace ? 0 : Math.min(segmentBytes, maxBytes - others)
  }

  /** Rolls when the segment is full. Refuses when the whole log is full. */
  async #makeRoom(bytes: number): Promise<void> {
    const { segmentBytes, maxBytes } = this.#options
    const lacksRoom = this.#lacksSpace || this.sizeBytes + bytes > maxBytes
    // If every consumer has passed the active segment, a roll makes it deletable.
    const isSettled = lacksRoom && this.#settledOffset() === this.#endOffset
    const rolls = this.#active.bytes > SEGMENT_HEADER_BYTES && (isSettled || this.#active.bytes + bytes > segmentBytes)
    const needed = bytes + (rolls ? SEGMENT_HEADER_BYTES : 0)
    if (this.sizeBytes + needed > maxBytes) {
      await this.#retain(() => this.sizeBytes + needed > maxBytes)
    }
    if ((isSettled ? 0 : this.sizeBytes) + needed > maxBytes) throw this.#full()
    try {
      if (isSettled) await this.#reserve.release() // the new segment needs a block before the old one is deleted
      if (rolls) await this.#roll()
      if (isSettled) await this.#retain(() => this.sizeBytes + bytes > maxBytes)
      await this.#reserve.hold()
    } catch (error) {
      // Nothing is written yet, so the log is still in a known state.
      if (['EMFILE', 'ENFILE'].includes(systemCode(error) ?? '')) throw tooManyFiles(this.directory, error)
      if (!isNoSpace(error)) throw this.#fail('creating a file', error)
      throw await this.#outOfSpace(error)
    }
    if (isSettled && this.sizeBytes + bytes > maxBytes) throw this.#full() // settled segments could not be deleted
  }

  #full(): MillraceError {
    const slowest = [...this.#consumers.values()].sort((a, b) => b.lagEvents - a.lagEvents)[0]
    return new MillraceError(
      'LOG_FULL',
      `the log holds ${this.sizeBytes} of ${this.#options.maxBytes} bytes and sink ${slowest?.name ?? '-'} has ` +
        `${slowest?.lagEvents ?? 0} events to go: try again later`,
    )
  }

  async #roll(): Promise<void> {
    const file = await createSegment(this.files, this.directory, this.id, this.#endOffset)
    const sealed = this.#active
    sealed.sealed = true
    await this.#file.close(sealed.bytes)
    // The index only makes reads faster: the log works without it.
    await this.#index.save(this.files, this.directory, sealed.baseOffset).catch(() => undefined)
    const baseOffset = this.#endOffset
    this.#segments.push({ baseOffset, bytes: SEGMENT_HEADER_BYTES, sealed: false, lastAppendedAtMs: Date.now() })
    this.#sizeBytes += SEGMENT_HEADER_BYTES
    this.#file = new ActiveFile(file, SEGMENT_HEADER_BYTES)
    this.#index = new SparseIndex()
    this.#appended.wake() // a consumer with the sealed segment open would hold its space after deletion
    await this.progressed()
  }

  /** After a failed write: truncates to the last durable byte, so that no half-written group stays. */
  async #takeBack(position: number, cause: unknown): Promise<MillraceError> {
    if (!isNoSpace(cause)) return this.#fail('write', cause)
    try {
      await this.#file.truncate(position)
    } catch (error) {
      return this.#fail('ftruncate', error)
    }
    return this.#outOfSpace(cause)
  }

  async #outOfSpace(cause: unknown): Promise<MillraceError> {
    this.#lacksSpace = true
    await this.progressed()
    return diskFull(this.directory, cause)
  }

  #fail(call: string, cause: unknown): MillraceError {
    this.#failure = new MillraceError(
      'LOG_FAILED',
      `${call} failed in ${this.directory} (${messageOf(cause)}): the log takes no more writes; ` +
        'check the disk, then restart, which keeps everything that was acknowledged',
      { cause },
    )
    this.#options.observer?.onFailure?.(this.#failure)
    return this.#failure
  }

  /** Every consumer of this process has settled everything before this offset. Without consumers: nothing is settled. */
  #settledOffset(): number {
    const offsets = [...this.#consumers.values()].map((consumer) => consumer.progress.offset)
    return offsets.length === 0 ? this.firstOffset : Math.min(...offsets)
  }

  /** Deletes segments, oldest first, while every consumer has passed them and `may` allows it. */
  async #retain(may: (segment: Segment, next: Segment) => boolean): Promise<void> {
    const settled = this.#settledOffset()
    let removed = 0
    try {
      for (;;) {
        const [oldest, next] = this.#segments
        if (oldest === undefined || next === undefined || next.baseOffset > settled || !may(oldest, next)) break
        await removeSegment(this.files, this.directory, oldest.baseOffset)
        if (this.#segments[0] === oldest) {
          this.#segments.shift() // a commit and an append may run this at the same time
          this.#sizeBytes -= oldest.bytes
        }
        removed += 1
      }
      if (removed > 0) {
        this.#times.forget(this.firstOffset)
        await this.files.syncDirectory(this.directory)
      }
      this.#retainFailing = false
    } catch (error) {
      // The segment stays and keeps its space. No event is lost; the next call tries again.
      if (!this.#retainFailing) {
        this.#options.observer?.onWarning?.(`a segment in ${this.directory} cannot be deleted: ${messageOf(error)}`)
      }
      this.#retainFailing = true
    }
  }
}
