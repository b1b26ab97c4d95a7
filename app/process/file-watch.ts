/**
 * Notices that files were replaced, in any way: written in place, renamed over, or reached through a symlink that now
 * points elsewhere, which is how Kubernetes replaces a mounted secret. It polls with `stat`, which follows symlinks and
 * works on every file system. Notifications of the kernel do neither.
 *
 *     look: the state differs from the one that was read, and equals the state at the last look  ─▶ onChange
 *
 * So several files that are replaced one after the other are one change, and a file that is still being written is not
 * a change yet.
 */
import { type BigIntStats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { messageOf, systemCode } from '../errors.ts'

const LOOK_EVERY_MS = 1000

export class FileWatch {
  readonly #paths: readonly string[]
  readonly #onChange: () => void
  readonly #everyMs: number
  /** The state of the files when they were last read. */
  #read: string
  /** The state of the files at the last look. */
  #before: string
  #timer: NodeJS.Timeout | undefined

  /**
   * Create it before the files are first read: it notices every later change.
   * @param onChange must not throw.
   * @param everyMs time between two looks. Default: 1000.
   */
  constructor(paths: readonly string[], onChange: () => void, everyMs = LOOK_EVERY_MS) {
    this.#paths = paths
    this.#onChange = onChange
    this.#everyMs = everyMs
    this.#read = paths.map(stateNow).join()
    this.#before = this.#read
    if (paths.length > 0) this.#wait()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #wait(): void {
    this.#timer = setTimeout(() => void this.#look(), this.#everyMs).unref()
  }

  async #look(): Promise<void> {
    const states = this.#paths.map((path) => stat(path, { bigint: true }).then(stateOf, stateOfMissing))
    const now = (await Promise.all(states)).join()
    if (this.#timer === undefined) return // closed
    if (now !== this.#read && now === this.#before) {
      this.#read = now
      this.#onChange()
    }
    this.#before = now
    this.#wait()
  }
}

function stateNow(path: string): string {
  try {
    return stateOf(statSync(path, { bigint: true }))
  } catch (error) {
    return stateOfMissing(error)
  }
}

function stateOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}

/** A missing or inaccessible file has a state, too: the reader of the file reports the problem. */
function stateOfMissing(error: unknown): string {
  return systemCode(error) ?? messageOf(error)
}
