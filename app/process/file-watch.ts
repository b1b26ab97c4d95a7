/**
 * Notices that files were replaced, whatever the way: written in place, renamed over, or reached through a symlink that
 * now leads elsewhere, which is how Kubernetes replaces a mounted secret. It asks for the state of each file: `stat`
 * follows symlinks and works on every file system, and notifications of the kernel do neither.
 *
 *     look: the state differs from the one that was read, and is that of the look before  ─▶ onChange
 *
 * So several files that are replaced one after the other are one change, and a file that is still being written is not a change yet.
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
  /** Their state at the look before. */
  #before: string
  #timer: NodeJS.Timeout | undefined

  /**
   * To be made before the files are first read: what changes after that is noticed.
   * @param onChange may not throw.
   * @param everyMs between looks. Default: 1000.
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
    if (this.#timer === undefined) return // closed meanwhile
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

/** A file that is gone, or may not be looked at, is in a state, too: the reader reports it. */
function stateOfMissing(error: unknown): string {
  return systemCode(error) ?? messageOf(error)
}
