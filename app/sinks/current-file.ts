/**
 * The file that the file sink writes: `current.ndjson`, complete lines only, locked by one process.
 *
 * Other programs can move, replace, truncate or delete it at any time, and writes to it still succeed. So written lines
 * count only after {@link CurrentFile.isInPlace} has confirmed that a reader finds them under this name.
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
  /** Length of the complete lines in it, as far as this process knows. */
  bytes: number

  private constructor(directory: string, handle: FileHandle, bytes: number) {
    this.#directory = directory
    this.#handle = handle
    this.bytes = bytes
  }

  /** Creates the directory and the file if they are missing. Cuts off half a line that a crash may have left. */
  static async open(directory: string): Promise<CurrentFile> {
    await mkdir(directory, { recursive: true })
    // Append mode always writes at the current end: a file that another program has truncated gets no hole.
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

  /** @throws a system error. Then none of the lines is in the file, or the file must be closed and opened again. */
  async append(lines: readonly Buffer[]): Promise<void> {
    const bytes = lines.reduce((sum, { length }) => sum + length, 0)
    try {
      const { bytesWritten } = await this.#handle.writev(lines)
      if (bytesWritten < bytes) await this.#appendRest(Buffer.concat(lines), bytesWritten)
    } catch (error) {
      // Remove the part that was written before the disk was full: the retry writes all lines.
      await this.#handle.truncate(this.bytes)
      throw error
    }
    this.bytes += bytes
  }

  /** Writes the rest after a short write: the disk is nearly full, or there were more buffers than one call accepts. */
  async #appendRest(lines: Buffer, from: number): Promise<void> {
    for (let done = from; done < lines.length; ) {
      const { bytesWritten } = await this.#handle.write(lines, done)
      done += bytesWritten
    }
  }

  /** @throws a system error. Do not retry: the kernel may mark pages as clean that it could not write. */
  async sync(): Promise<void> {
    await this.#handle.datasync()
  }

  /** Cuts off lines that may not be durable, so that the next process does not find them in memory pages only. */
  async cutBackTo(bytes: number): Promise<void> {
    await this.#handle.truncate(bytes)
  }

  /** Whether its name still leads to this file, and the file was not truncated. */
  async isInPlace(): Promise<boolean> {
    const ours = await this.#handle.stat({ bigint: true })
    const named = await stat(join(this.#directory, NAME), { bigint: true }).catch(unlessMissing)
    return named?.ino === ours.ino && named.dev === ours.dev && ours.size >= this.bytes
  }

  /**
   * Gives the file its final name and closes it. The caller must still sync the directory. An existing file keeps its
   * name: a number is added to the new one.
   * @param name without `.ndjson`.
   */
  async finish(name: string): Promise<void> {
    let free = `${name}.ndjson`
    for (let number = 2; await exists(join(this.#directory, free)); number++) free = `${name}-${number}.ndjson`
    await rename(join(this.#directory, NAME), join(this.#directory, free))
    await this.close() // releases the lock only now, when the file has its final name
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

/** Takes a kernel lock, which is released however the process ends. */
async function lock(handle: FileHandle, path: string): Promise<void> {
  // The previous holder may have renamed the file after it was opened here: compare the inode.
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
