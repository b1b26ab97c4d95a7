/**
 * The file that the file sink writes: `current.ndjson`, whole lines only, held by one process.
 *
 * Others can move, replace, truncate or delete it at any time, and every write to it still succeeds. So what is written counts
 * only once {@link CurrentFile.isInPlace} has said that a reader finds it under its name.
 */
import { type FileHandle, lstat, mkdir, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { tryLock } from 'fs-native-extensions'
import { messageOf, systemCode } from '../errors.ts'

const NAME = 'current.ndjson'
const NEWLINE = 0x0a

export class CurrentFile {
  readonly #directory: string
  readonly #handle: FileHandle
  /** Whole lines in it, as far as this process knows. */
  bytes: number

  private constructor(directory: string, handle: FileHandle, bytes: number) {
    this.#directory = directory
    this.#handle = handle
    this.bytes = bytes
  }

  /** Makes the directory and the file where they are missing. A crash may have left half a line: it is cut off. */
  static async open(directory: string): Promise<CurrentFile> {
    await mkdir(directory, { recursive: true })
    // Always behind the end, wherever that is: a file that others have truncated gets no hole.
    const handle = await open(join(directory, NAME), 'a+')
    try {
      await lock(handle, join(directory, NAME))
      const bytes = await endOfLastLine(handle)
      await handle.truncate(bytes)
      await syncDirectory(directory)
      return new CurrentFile(directory, handle, bytes)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** @throws what the disk says; then none of the lines is in the file, or the file is to be closed and opened again. */
  async append(lines: readonly Buffer[]): Promise<void> {
    const bytes = lines.reduce((sum, { length }) => sum + length, 0)
    try {
      const { bytesWritten } = await this.#handle.writev(lines)
      if (bytesWritten < bytes) await this.#appendRest(Buffer.concat(lines), bytesWritten)
    } catch (error) {
      // Take back what a full disk left of the lines: the retry writes all of them.
      await this.#handle.truncate(this.bytes)
      throw error
    }
    this.bytes += bytes
  }

  /** A disk takes a part before it is full, or more buffers than it takes at once. */
  async #appendRest(lines: Buffer, from: number): Promise<void> {
    for (let done = from; done < lines.length; ) {
      const { bytesWritten } = await this.#handle.write(lines, done)
      done += bytesWritten
    }
  }

  /** @throws what the disk says: the kernel may call pages clean that it could not write, so a second try proves nothing. */
  async sync(): Promise<void> {
    await this.#handle.datasync()
  }

  /** The next process must not find what is in doubt, in pages that a power cut takes. */
  async cutBackTo(bytes: number): Promise<void> {
    await this.#handle.truncate(bytes)
  }

  /** Whether it is still what its name leads to, and nothing was cut off. */
  async isInPlace(): Promise<boolean> {
    const ours = await this.#handle.stat({ bigint: true })
    const named = await stat(join(this.#directory, NAME), { bigint: true }).catch(unlessMissing)
    return named?.ino === ours.ino && named.dev === ours.dev && ours.size >= this.bytes
  }

  /**
   * Gives it its last name and closes it; the directory is still to be synced. What already has that name stays as it is: a number
   * is added.
   * @param name without `.ndjson`.
   */
  async finish(name: string): Promise<void> {
    let free = `${name}.ndjson`
    for (let number = 2; await exists(join(this.#directory, free)); number++) free = `${name}-${number}.ndjson`
    await rename(join(this.#directory, NAME), join(this.#directory, free))
    await this.close() // with the lock: nobody else gets it before it has its last name
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

/** Gone with the process, however that ends. */
async function lock(handle: FileHandle, path: string): Promise<void> {
  // Who had the lock may have given the file its last name since it was opened here.
  if (tryLock(handle.fd) && (await handle.stat()).ino === (await stat(path)).ino) return
  throw new Error('another process writes there: give each a FILE_SINK_DIR of its own')
}

async function endOfLastLine(handle: FileHandle): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024)
  let { size } = await handle.stat()
  while (size > 0) {
    const from = Math.max(0, size - chunk.length)
    const { bytesRead } = await handle.read(chunk, 0, size - from, from)
    const newline = chunk.subarray(0, bytesRead).lastIndexOf(NEWLINE)
    if (newline !== -1) return from + newline + 1
    size = from
  }
  return 0
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(unlessMissing)) !== undefined
}

function unlessMissing(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT' && systemCode(error) !== 'ENOTDIR') throw error
}

export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } catch (cause) {
    throw new Error(`the directory cannot be synced (${messageOf(cause)})`, { cause })
  } finally {
    await handle.close()
  }
}
