/**
 * The part of the file system that the embedded log uses. It is small, so that a test can replace it: with one that
 * forgets unsynced data, tears writes, or returns ENOSPC and EIO.
 */
import { write } from 'node:fs'
import { constants, type FileHandle, mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { tryLock } from 'fs-native-extensions'

export interface File {
  /** Bytes read, 0 at the end. */
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<number>
  /**
   * Writes durably: the bytes, and the metadata needed to read them back. Returns how many; may be fewer than asked.
   * After an error, the bytes may or may not be in the file.
   */
  write(buffer: Buffer, offset: number, length: number, position: number): Promise<number>
  truncate(bytes: number): Promise<void>
  /** fdatasync(2): for a new length, and for data that another process has written. */
  datasync(): Promise<void>
  stat(): Promise<{ size: number; mtimeMs: number }>
  close(): Promise<void>
}

export interface Files {
  open(path: string, mode: 'read' | 'write' | 'create'): Promise<File>
  list(directory: string): Promise<string[]>
  makeDirectory(directory: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** fsync(2) of a directory: makes created, renamed and removed names durable. */
  syncDirectory(directory: string): Promise<void>
  /**
   * Takes the kernel's exclusive lock on a file and writes `note` into it; undefined when another process holds it.
   * Not a pid file: the kernel releases the lock as soon as its holder dies, also on a network file system.
   */
  lock(path: string, note: string): Promise<{ release(): Promise<void> } | undefined>
}

/**
 * On Linux, a write with this flag also syncs, as if fdatasync(2) followed (open(2), "Synchronized I/O"). That takes
 * one call in another thread instead of two, and the second one would wait for the event loop. Other systems may sync
 * less than their fdatasync does: macOS does not flush the drive.
 */
const SYNCHRONOUS = process.platform === 'linux' ? constants.O_DSYNC : 0

/** `create` fails when the file exists: a segment is never opened over another one. */
const FLAGS = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR | SYNCHRONOUS,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | SYNCHRONOUS,
} as const

class NodeFile implements File {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async read(buffer: Buffer, offset: number, length: number, position: number): Promise<number> {
    return (await this.#handle.read(buffer, offset, length, position)).bytesRead
  }

  async write(buffer: Buffer, offset: number, length: number, position: number): Promise<number> {
    const bytes = await this.#write(buffer, offset, length, position)
    if (SYNCHRONOUS === 0) await this.#handle.datasync()
    return bytes
  }

  /**
   * Uses the callback API: the overhead of FileHandle.write costs a group more than its checksum. That is safe: a file
   * is never closed during a write, and a closed handle has no `fd`.
   */
  #write(buffer: Buffer, offset: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (error: Error | null, bytes: number) => (error ? reject(error) : resolve(bytes))
      write(this.#handle.fd, buffer, offset, length, position, done)
    })
  }

  truncate(bytes: number): Promise<void> {
    return this.#handle.truncate(bytes)
  }

  datasync(): Promise<void> {
    return this.#handle.datasync()
  }

  stat(): Promise<{ size: number; mtimeMs: number }> {
    return this.#handle.stat()
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export const nodeFiles: Files = {
  open: async (path, mode) => new NodeFile(await open(path, FLAGS[mode])),
  list: (directory) => readdir(directory),
  makeDirectory: async (directory) => {
    const first = await mkdir(directory, { recursive: true })
    if (first === undefined) return
    // A new name is durable only once its parent directory is synced. Sync each, up to one that existed before.
    for (let made = resolve(directory); made.startsWith(resolve(first)); made = dirname(made)) {
      await syncDirectory(dirname(made)).catch(() => undefined) // this user may not read that directory
    }
  },
  rename,
  remove: unlink,
  syncDirectory,
  lock: async (path, note) => {
    const handle = await open(path, 'a+')
    if (!tryLock(handle.fd)) {
      await handle.close()
      return undefined
    }
    try {
      await handle.truncate(0)
      await handle.write(note)
    } catch {} // disk full: the note is needed only for the message of a second process
    return { release: () => handle.close() }
  },
}

/** Writes `length` bytes, even if the system needs several writes. */
export async function writeFully(file: File, buffer: Buffer, length: number, position: number): Promise<void> {
  let done = 0
  while (done < length) done += await file.write(buffer, done, length - done, position + done)
}

/** Fills `length` bytes of the buffer, or fewer at the end of the file. */
export async function readFully(
  file: File,
  buffer: Buffer,
  offset: number,
  length: number,
  position: number,
): Promise<number> {
  let done = 0
  while (done < length) {
    const bytes = await file.read(buffer, offset + done, length - done, position + done)
    if (bytes === 0) break
    done += bytes
  }
  return done
}

export async function readWhole(files: Files, path: string): Promise<Buffer> {
  const file = await files.open(path, 'read')
  try {
    const { size } = await file.stat()
    const buffer = Buffer.allocUnsafe(size)
    return buffer.subarray(0, await readFully(file, buffer, 0, size, 0))
  } finally {
    await file.close()
  }
}

/** Replaces a small file as a whole: after a crash a reader finds the old content or the new, never a mixture. */
export async function replaceFile(files: Files, directory: string, name: string, content: Buffer): Promise<void> {
  const temporary = join(directory, `${name}.tmp`)
  await files.remove(temporary).catch(() => undefined)
  const file = await files.open(temporary, 'create')
  try {
    await writeFully(file, content, content.length, 0)
  } finally {
    await file.close()
  }
  await files.rename(temporary, join(directory, name))
  await files.syncDirectory(directory)
}
