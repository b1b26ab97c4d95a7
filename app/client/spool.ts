/**
 * `millrace/client/spool`: keeps batches in files, for Node. This run or the next one sends them.
 *
 *     <directory>/<UUIDv7>.ndjson   events, one a line: appended to, and emptied, by one process
 *
 * - Once all batches of a file are answered, the current file is emptied, and an older file is removed. After a crash,
 *   all events in the files are sent again. They keep their ids, so a service that deduplicates stores none twice.
 * - A line that a crash has cut off is discarded.
 * - `sync: 'batch'`: a batch counts as kept once `fdatasync` has returned, so a power cut loses only later batches.
 *   `sync: 'none'`: the operating system writes it later. The end of the process loses nothing, a power cut the last
 *   seconds.
 *
 * A directory belongs to one process.
 */
import { type FileHandle, mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { countLines } from './lines.ts'
import type { Body, Store, StoredBatch } from './store.ts'
import { uuidv7 } from './uuid.ts'

export interface SpoolOptions {
  /** Created if it is missing. */
  readonly directory: string
  /** Limit of all files together. Default: 1 GiB. Beyond it, events stay in memory. */
  readonly maxBytes?: number
  /** Size at which a new file begins. Default: 8 MiB. */
  readonly maxFileBytes?: number
  /** Default: `batch`. */
  readonly sync?: 'batch' | 'none'
}

interface SpoolFile {
  readonly path: string
  bytes: number
  /** Batches that are not answered. */
  batches: number
}

/** Where a batch is stored. */
interface Place {
  readonly file: SpoolFile
  readonly at: number
  readonly bytes: number
}

const MIB = 1024 * 1024
const NEWLINE = 0x0a
const EXTENSION = '.ndjson'
/** Approximate size of the requests that send events of an earlier run. */
const RESTORED_BATCH_BYTES = 256 * 1024
const RESTORED_BATCH_EVENTS = 1000

export function openSpool(options: SpoolOptions): Store<Place> {
  return new Spool(options)
}

class Spool implements Store<Place> {
  readonly #options: Required<SpoolOptions>
  readonly #files = new Set<SpoolFile>()
  #current: { readonly file: SpoolFile; readonly handle: FileHandle } | undefined

  constructor(options: SpoolOptions) {
    this.#options = { maxBytes: 1024 * MIB, maxFileBytes: 8 * MIB, sync: 'batch', ...options }
  }

  async load(): Promise<readonly StoredBatch<Place>[]> {
    const { directory } = this.#options
    await mkdir(directory, { recursive: true })
    const names = (await readdir(directory)).filter((name) => name.endsWith(EXTENSION)).sort()
    const batches: StoredBatch<Place>[] = []
    for (const name of names) batches.push(...(await this.#restore(join(directory, name))))
    return batches
  }

  async add(body: Body): Promise<Place> {
    const { maxBytes, maxFileBytes, sync } = this.#options
    const bytes = [...this.#files].reduce((sum, file) => sum + file.bytes, body.length)
    if (bytes > maxBytes) throw new Error(`the spool would have ${bytes} bytes, the limit is ${maxBytes}`)
    if (this.#current && this.#current.file.bytes >= maxFileBytes) await this.#end()
    this.#current ??= await this.#begin()
    const { file, handle } = this.#current
    const at = file.bytes
    try {
      // Write at a position, not at the end, so that a retry overwrites a partial write.
      for (let written = 0; written < body.length; ) {
        written += (await handle.write(body, written, body.length - written, at + written)).bytesWritten
      }
      if (sync === 'batch') await handle.datasync()
    } catch (error) {
      await handle.truncate(at).catch(() => undefined)
      throw error
    }
    file.bytes += body.length
    file.batches += 1
    return { file, at, bytes: body.length }
  }

  async read({ file, at, bytes }: Place): Promise<Body> {
    const body = new Uint8Array(bytes)
    const handle = await open(file.path)
    try {
      const { bytesRead } = await handle.read(body, 0, bytes, at)
      if (bytesRead !== bytes) throw new Error(`${file.path} is shorter than it was`)
    } finally {
      await handle.close()
    }
    return body
  }

  async remove({ file }: Place): Promise<void> {
    file.batches -= 1
    if (file.batches > 0) return
    if (file !== this.#current?.file) return this.#delete(file)
    await this.#current.handle.truncate(0)
    file.bytes = 0
  }

  async close(): Promise<void> {
    await this.#end()
  }

  async #begin(): Promise<{ readonly file: SpoolFile; readonly handle: FileHandle }> {
    const path = join(this.#options.directory, `${uuidv7()}${EXTENSION}`)
    const handle = await open(path, 'wx', 0o600)
    if (this.#options.sync === 'batch') await syncDirectory(this.#options.directory)
    const file = { path, bytes: 0, batches: 0 }
    this.#files.add(file)
    return { file, handle }
  }

  async #end(): Promise<void> {
    if (!this.#current) return
    const { file, handle } = this.#current
    this.#current = undefined
    await handle.close()
    if (file.batches === 0) await this.#delete(file)
  }

  async #delete(file: SpoolFile): Promise<void> {
    this.#files.delete(file)
    await rm(file.path, { force: true })
  }

  async #restore(path: string): Promise<StoredBatch<Place>[]> {
    const content = await readFile(path)
    const file: SpoolFile = { path, bytes: content.length, batches: 0 }
    const batches = [...batchesIn(content)].map(([at, end]) => {
      const bytes = end - at
      return { key: { file, at, bytes }, events: countLines(content.subarray(at, end)), bytes }
    })
    file.batches = batches.length
    if (batches.length === 0) await rm(path, { force: true })
    else this.#files.add(file)
    return batches
  }
}

/** Divides the content into batches of complete lines. */
function* batchesIn(content: Uint8Array): Generator<readonly [at: number, end: number]> {
  let at = 0
  let end = 0
  let events = 0
  for (let newline = content.indexOf(NEWLINE); newline !== -1; newline = content.indexOf(NEWLINE, end)) {
    const isFull = events === RESTORED_BATCH_EVENTS || newline + 1 - at > RESTORED_BATCH_BYTES
    if (isFull && events > 0) {
      yield [at, end]
      at = end
      events = 0
    }
    end = newline + 1
    events += 1
  }
  if (events > 0) yield [at, end]
}

/** Makes a new file name durable: after a power cut, the file exists only if its directory was synced. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
