/**
 * The file sink: complete CloudEvents as NDJSON, one a line.
 *
 *     current.ndjson ─(full or old enough, or the process stops)─▶ events-20260131T120000.000Z-1.ndjson
 *
 * A finished file appears by rename, whole and synced, and is never written again. After a crash `current.ndjson` goes
 * on behind its last whole line; what was not committed by then is delivered again, so lines can repeat (same id).
 */
import { access, constants, type FileHandle, mkdir, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { tryLock } from 'fs-native-extensions'
import { MillraceError, messageOf } from '../errors.ts'
import { type Item, type Sink, SinkUnavailable } from './sink.ts'

export interface FileSinkOptions {
  readonly directory: string
  /** Bytes after which a file is closed. */
  readonly rollBytes: number
  /** Milliseconds after which a file is closed. */
  readonly rollMs: number
  /** Called once when a sync failed: what was written may be gone, and only a restart writes it again. */
  readonly onFailure: (error: Error) => void
}

const CURRENT = 'current.ndjson'
const MAX_BATCH_EVENTS = 1024
const NEWLINE = 0x0a

export class FileSink implements Sink {
  readonly concurrency = 1
  readonly maxBatchEvents = MAX_BATCH_EVENTS
  readonly #options: FileSinkOptions
  #file: FileHandle | undefined
  #bytes = 0
  #syncedBytes = 0
  #openedAtMs = 0
  #rolled = 0
  #timer: NodeJS.Timeout | undefined
  #failure: Error | undefined
  /** One step at a time: a write, a flush and a roll never overlap. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(options: FileSinkOptions) {
    this.#options = options
  }

  /** @throws MillraceError DATA_DIR_UNUSABLE when the directory cannot be made or written. */
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

  write(items: readonly Item[]): Promise<undefined> {
    let text = ''
    for (const { event } of items) text += `${JSON.stringify(event)}\n`
    return this.#next(() => this.#append(Buffer.from(text)))
  }

  flush(): Promise<void> {
    return this.#next(async () => {
      if (this.#file) await this.#sync(this.#file)
    })
  }

  close(): Promise<void> {
    return this.#next(() => this.#roll())
  }

  /** What goes wrong here (permission, space) is the sink's trouble, never an event's. */
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

  async #append(bytes: Buffer): Promise<undefined> {
    const file = await this.#open()
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done, this.#bytes + done)
        done += bytesWritten
      }
    } catch (error) {
      // Take back what a full disk left of the batch: the retry writes all of it.
      await file.truncate(this.#bytes).catch(() => undefined)
      throw error
    }
    this.#bytes += bytes.length
    if (this.#bytes >= this.#options.rollBytes) await this.#roll()
    return undefined
  }

  async #open(): Promise<FileHandle> {
    if (this.#file) return this.#file
    const { directory, rollMs } = this.#options
    await mkdir(directory, { recursive: true })
    const file = await open(join(directory, CURRENT), 'a+').then(async (created) => {
      await created.close() // positions are ours from here on: append mode would ignore them
      return open(join(directory, CURRENT), 'r+')
    })
    try {
      await this.#lock(file)
      this.#bytes = this.#syncedBytes = await endOfLastLine(file)
      await file.truncate(this.#bytes)
    } catch (error) {
      await file.close()
      throw error
    }
    await syncDirectory(directory)
    this.#openedAtMs = Date.now()
    this.#timer = setTimeout(() => void this.#next(() => this.#roll()).catch(() => undefined), rollMs).unref()
    this.#file = file
    return file
  }

  /** Each writer has its own idea of where the file ends. Gone with the process, however that ends. */
  async #lock(file: FileHandle): Promise<void> {
    const path = join(this.#options.directory, CURRENT)
    // Who had the lock may have given the file its final name since it was opened here.
    if (tryLock(file.fd) && (await file.stat()).ino === (await stat(path)).ino) return
    throw new Error('another process writes there: give each a FILE_SINK_DIR of its own')
  }

  /** The kernel may call pages clean that it could not write: the next sync would succeed without them. */
  async #sync(file: FileHandle): Promise<void> {
    try {
      await file.datasync()
      this.#syncedBytes = this.#bytes
    } catch (cause) {
      // The next process writes it again, and must not find it in between, in pages that a power cut takes.
      await file.truncate(this.#syncedBytes).catch(() => undefined)
      const message = `fdatasync failed in ${this.#options.directory} (${messageOf(cause)}): check the disk, then restart`
      this.#failure = new Error(message, { cause })
      this.#options.onFailure(this.#failure)
      throw this.#failure
    }
  }

  async #roll(): Promise<void> {
    const file = this.#file
    if (file === undefined) return
    clearTimeout(this.#timer)
    await this.#sync(file)
    try {
      if (this.#bytes === 0) return
      const { directory } = this.#options
      this.#rolled += 1
      const stamp = new Date(this.#openedAtMs).toISOString().replaceAll(/[-:]/g, '')
      await rename(join(directory, CURRENT), join(directory, `events-${stamp}-${this.#rolled}.ndjson`))
      await syncDirectory(directory)
    } finally {
      this.#file = undefined
      await file.close() // with the lock: nobody else gets it before it has its final name
    }
  }
}

/** A crash may have left half a line: where the last whole one ends. */
async function endOfLastLine(file: FileHandle): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024)
  let { size } = await file.stat()
  while (size > 0) {
    const from = Math.max(0, size - chunk.length)
    const { bytesRead } = await file.read(chunk, 0, size - from, from)
    const newline = chunk.subarray(0, bytesRead).lastIndexOf(NEWLINE)
    if (newline !== -1) return from + newline + 1
    size = from
  }
  return 0
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  await handle.sync()
  await handle.close()
}
