/**
 * Disk space reserved for recording progress. A segment is deleted only after its sinks have recorded that they have
 * passed it, and that needs a disk block. Without a reserve, a disk that the log itself has filled could never recover.
 *
 *     held ─(no space for progress)─▶ released ─(before the next append)─▶ held, or that append is refused
 */
import { join } from 'node:path'
import { systemCode } from '../../errors.ts'
import { type Files, writeFully } from './files.ts'

const NAME = 'reserve'
const RESERVE_BYTES = 64 * 1024
/** Errors that mean "no space": disk full, quota exceeded, and EFBIG, the largest possible file. */
const NO_SPACE: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export function isNoSpace(error: unknown): boolean {
  return NO_SPACE.has(systemCode(error))
}

export class SpaceReserve {
  readonly #files: Files
  readonly #directory: string
  #held = false
  /** Serialises `hold` and `release`: otherwise the reserve could count as held although its file is gone. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(files: Files, directory: string) {
    this.#files = files
    this.#directory = directory
  }

  /** @throws a system error when there is no space for the reserve; then no part of it stays on disk. */
  async hold(): Promise<void> {
    if (!this.#held) await this.#inTurn(() => this.#create())
  }

  async release(): Promise<void> {
    await this.#inTurn(() => this.#remove())
  }

  async #create(): Promise<void> {
    await this.#remove() // the file of the last process may be incomplete
    const file = await this.#files.open(join(this.#directory, NAME), 'create')
    try {
      await writeFully(file, Buffer.alloc(RESERVE_BYTES, 1), RESERVE_BYTES, 0)
      this.#held = true
    } finally {
      await file.close()
      if (!this.#held) await this.#remove()
    }
  }

  async #remove(): Promise<void> {
    this.#held = false
    if ((await this.#files.list(this.#directory)).includes(NAME)) await this.#files.remove(join(this.#directory, NAME))
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}
