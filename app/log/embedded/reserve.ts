/**
 * Space that appends leave to progress. On a disk that the log itself has filled, segments go only once sinks have recorded that
 * they are past them, and recording that needs a block: without a reserve nobody could ever free one.
 *
 *     held ─(no space for progress)─▶ released ─(before the next append)─▶ held, or that append is refused
 */
import { join } from 'node:path'
import { systemCode } from '../../errors.ts'
import { type Files, writeFully } from './files.ts'

const NAME = 'reserve'
const RESERVE_BYTES = 64 * 1024
/** What a file system may be out of; EFBIG: past the largest file it can hold. */
const NO_SPACE: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export function isNoSpace(error: unknown): boolean {
  return NO_SPACE.has(systemCode(error))
}

export class SpaceReserve {
  readonly #files: Files
  readonly #directory: string
  #held = false
  /** Appends hold it and progress releases it: one after the other, or a file is taken for held that is gone. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(files: Files, directory: string) {
    this.#files = files
    this.#directory = directory
  }

  /** @throws a system error when there is no space for it; none of it is taken then. */
  async hold(): Promise<void> {
    if (!this.#held) await this.#inTurn(() => this.#create())
  }

  async release(): Promise<void> {
    await this.#inTurn(() => this.#remove())
  }

  async #create(): Promise<void> {
    await this.#remove() // of the last process, perhaps a part
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
