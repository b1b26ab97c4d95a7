/**
 * The file sink: complete CloudEvents as NDJSON, one a line.
 *
 *     current.ndjson ─(full or old enough, or the process stops)─▶ events-20260131T120000.000Z-4711.ndjson
 *
 * A finished file appears by rename, complete and synced, and is never written again. Its name has the time at which it
 * was begun and the offset of its first event. After a crash, `current.ndjson` continues after its last complete line.
 * Uncommitted events are delivered again, so lines can repeat (same id).
 *
 * Lines written since the last flush are kept in memory. If a flush finds that `current.ndjson` was moved, deleted or
 * truncated, it writes them again to a new file: an offset moves only past lines that a reader can find.
 */
import { access, constants, mkdir } from 'node:fs/promises'
import { MillraceError, messageOf } from '../errors.ts'
import { CurrentFile, syncDirectory } from './current-file.ts'
import { KeptLines } from './kept-lines.ts'
import { type Sink, type SinkBatch, SinkUnavailable } from './sink.ts'

export interface FileSinkOptions {
  readonly directory: string
  /** Bytes after which a file is closed. */
  readonly rollBytes: number
  /** Milliseconds after which a file is closed. */
  readonly rollMs: number
  readonly onWarning: (message: string) => void
  /** Called once when a sync failed: written lines may be lost, and only a restart writes them again. */
  readonly onFailure: (error: Error) => void
}

const MAX_BATCH_EVENTS = 8192
/** Limit of the lines kept in memory until they are durable. */
const MAX_UNSYNCED_BYTES = 8 * 1024 * 1024
/** Most new files in one flush, because another program may move each of them. */
const MAX_FILES_PER_FLUSH = 3
/** Delay before the next try after a rename failed. Meanwhile lines still go to `current.ndjson`. */
const ROLL_AGAIN_MS = 1000
/** Longest timer of Node. A longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

export class FileSink implements Sink {
  readonly concurrency = 1
  readonly maxBatchEvents = MAX_BATCH_EVENTS
  readonly #options: FileSinkOptions
  #file: CurrentFile | undefined
  /** Lines written since the last flush. */
  readonly #unsynced = new KeptLines()
  /** True when the file with these lines was abandoned, so that they must be written again. */
  #isRepeatDue = false
  /** When the file was begun, in the form used in its name. */
  #openedAt = ''
  #firstOffset = 0
  #timer: NodeJS.Timeout | undefined
  #rollFailure: string | undefined
  #failure: Error | undefined
  /** The last step. Steps run one after the other: a write, a flush and a roll never overlap. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(options: FileSinkOptions) {
    this.#options = options
  }

  /** @throws MillraceError DATA_DIR_UNUSABLE when the directory cannot be created or written. */
  static async open(options: FileSinkOptions): Promise<FileSink> {
    const { directory } = options
    try {
      await mkdir(directory, { recursive: true })
      await access(directory, constants.W_OK | constants.X_OK)
    } catch (cause) {
      const fix = 'make it writable for this user, or set FILE_SINK_DIR to another directory'
      throw new MillraceError('DATA_DIR_UNUSABLE', `cannot write to ${directory} (${messageOf(cause)}): ${fix}`, {
        cause,
      })
    }
    return new FileSink(options)
  }

  write({ firstOffset, lines }: SinkBatch): Promise<undefined> {
    const bytes = lines.reduce((sum, { length }) => sum + length, 0)
    return this.#next(async () => {
      // Sync before these lines are written: if the sync fails, the retry must not write them twice.
      if (this.#unsynced.bytes + bytes > MAX_UNSYNCED_BYTES) await this.#makeDurable()
      const file = await this.#open(firstOffset)
      await this.#append(file, lines)
      this.#unsynced.add(lines)
      // The lines are written, so a failed roll is not an error of this write. It is retried separately.
      if (file.bytes >= this.#options.rollBytes && this.#rollFailure === undefined) await this.#tryToRoll()
      return undefined
    })
  }

  flush(): Promise<void> {
    return this.#next(() => this.#makeDurable())
  }

  close(): Promise<void> {
    return this.#next(() => this.#roll())
  }

  /** Runs a step. Its errors (permission, space) are about the sink, never about an event. */
  #next<T>(step: () => Promise<T>): Promise<T> {
    const unlessFailed = () => {
      if (this.#failure) throw this.#failure
      return step()
    }
    const result = this.#last.then(unlessFailed).catch((cause: unknown) => {
      throw new SinkUnavailable(`cannot write to ${this.#options.directory} (${messageOf(cause)})`, { cause })
    })
    this.#last = result.catch(() => undefined)
    return result
  }

  /** @param offset offset of the event that is written next. */
  async #open(offset: number): Promise<CurrentFile> {
    if (this.#file === undefined) {
      this.#file = await CurrentFile.open(this.#options.directory)
      this.#openedAt = new Date().toISOString().replaceAll(/[-:]/g, '')
      this.#firstOffset = offset
      this.#rollAfter(this.#options.rollMs)
    }
    if (this.#isRepeatDue) await this.#append(this.#file, this.#unsynced.parts)
    this.#isRepeatDue = false
    return this.#file
  }

  async #append(file: CurrentFile, lines: readonly Buffer[]): Promise<void> {
    try {
      await file.append(lines)
    } catch (error) {
      await this.#abandon(file) // when it is opened again, half a line is cut off
      throw error
    }
  }

  async #abandon(file: CurrentFile): Promise<void> {
    this.#file = undefined
    this.#isRepeatDue = this.#unsynced.bytes > 0
    clearTimeout(this.#timer)
    await file.close()
  }

  async #makeDurable(): Promise<void> {
    if (this.#file === undefined && this.#unsynced.bytes === 0) return
    for (let files = 0; files < MAX_FILES_PER_FLUSH; files++) {
      const file = await this.#open(this.#firstOffset)
      await this.#sync(file)
      if (await file.isInPlace()) {
        this.#unsynced.clear()
        return
      }
      const lost = `what it got since the last flush, ${this.#unsynced.bytes} bytes, is written again`
      this.#options.onWarning(`current.ndjson in ${this.#options.directory} was moved, deleted or truncated: ${lost}`)
      await this.#abandon(file)
    }
    throw new Error('current.ndjson is moved or deleted each time it is made: stop what does that')
  }

  async #sync(file: CurrentFile): Promise<void> {
    try {
      await file.sync()
    } catch (cause) {
      await file.cutBackTo(file.bytes - this.#unsynced.bytes).catch(() => undefined)
      const message = `fdatasync failed in ${this.#options.directory} (${messageOf(cause)}): check the disk, then restart`
      this.#failure = new Error(message, { cause })
      this.#options.onFailure(this.#failure)
      throw this.#failure
    }
  }

  async #roll(): Promise<void> {
    await this.#makeDurable()
    const file = this.#file
    if (file === undefined) return
    clearTimeout(this.#timer)
    if (file.bytes === 0) await file.close()
    else await file.finish(`events-${this.#openedAt}-${this.#firstOffset}`)
    this.#file = undefined
    await syncDirectory(this.#options.directory)
  }

  /** Logs one line when rolls begin to fail, and one when they succeed again. */
  async #tryToRoll(): Promise<void> {
    const { directory, onWarning } = this.#options
    try {
      await this.#roll()
      if (this.#rollFailure !== undefined) onWarning(`current.ndjson in ${directory} is finished again`)
      this.#rollFailure = undefined
    } catch (error) {
      if (this.#failure) throw error
      const failure = messageOf(error)
      const effect = 'events are still written to it, and it is tried again'
      if (failure !== this.#rollFailure) {
        onWarning(`current.ndjson in ${directory} cannot be finished (${failure}): ${effect}`)
      }
      this.#rollFailure = failure
      this.#rollAfter(ROLL_AGAIN_MS)
    }
  }

  #rollAfter(ms: number): void {
    clearTimeout(this.#timer)
    const dueMs = performance.now() + ms
    const tick = () => {
      const leftMs = dueMs - performance.now()
      if (leftMs > 0) this.#timer = setTimeout(tick, Math.min(leftMs, MAX_TIMER_MS)).unref()
      else this.#next(() => this.#tryToRoll()).catch(() => undefined) // the next write reports the same error
    }
    tick()
  }
}
