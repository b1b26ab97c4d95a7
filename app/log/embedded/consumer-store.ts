/**
 * Progress of every consumer, in one small file that is replaced whole. Group commit here too: a flush writes what all
 * consumers have set by then, and the next one starts when it returns.
 */
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { MillraceError } from '../../errors.ts'
import { type Files, readWhole, replaceFile } from './files.ts'
import { isNoSpace, type SpaceReserve } from './reserve.ts'

export const NAME = 'consumers.json'
const VERSION = 2

/** How far a consumer has come. `offset - startOffset = delivered + deadLettered + damaged`. */
export interface ConsumerProgress {
  /** Everything before it is settled: the first offset to read after a restart. */
  readonly offset: number
  /** Where the consumer began, when it was first seen. */
  readonly startOffset: number
  readonly deadLettered: number
  readonly damaged: number
}

/** Where a consumer keeps its progress. */
export interface ProgressStore {
  /** What a restart would see. */
  get(name: string): ConsumerProgress | undefined
  /** Resolves once `progress`, or something newer, is durable. */
  set(name: string, progress: ConsumerProgress): Promise<void>
}

export class ConsumerStore implements ProgressStore {
  readonly #files: Files
  readonly #directory: string
  readonly #reserve: SpaceReserve
  /** What a restart would see. */
  readonly #durable = new Map<string, ConsumerProgress>()
  readonly #wanted = new Map<string, ConsumerProgress>()
  #flushing: Promise<void> | undefined

  private constructor(files: Files, directory: string, reserve: SpaceReserve) {
    this.#files = files
    this.#directory = directory
    this.#reserve = reserve
  }

  /** @throws MillraceError LOG_FORMAT when a version that this one cannot read wrote the file. */
  static async open(
    files: Files,
    directory: string,
    reserve: SpaceReserve,
    onWarning: (message: string) => void,
  ): Promise<ConsumerStore> {
    const store = new ConsumerStore(files, directory, reserve)
    if (!(await files.list(directory)).includes(NAME)) return store
    const text = (await readWhole(files, join(directory, NAME))).toString()
    const consumers = parse(text)
    if (consumers === 'later version') throw laterVersion(directory)
    if (consumers === 'damaged') {
      onWarning(`${NAME} is damaged: every sink starts again at the oldest event of the log, so events repeat`)
      return store
    }
    for (const [name, progress] of Object.entries(consumers)) {
      store.#durable.set(name, progress)
      store.#wanted.set(name, progress)
    }
    return store
  }

  get names(): Iterable<string> {
    return this.#durable.keys()
  }

  get(name: string): ConsumerProgress | undefined {
    return this.#durable.get(name)
  }

  /** Resolves once `progress`, or something newer, is durable. */
  async set(name: string, progress: ConsumerProgress): Promise<void> {
    this.#wanted.set(name, progress)
    // A flush under way may have been taken before this value: wait for it, then for one that has it.
    await this.#flushing?.catch(() => undefined)
    if (this.#durable.get(name) === this.#wanted.get(name)) return
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined
    })
    await this.#flushing
  }

  async #flush(): Promise<void> {
    const snapshot = new Map(this.#wanted)
    const consumers = Object.fromEntries(snapshot)
    const text = JSON.stringify({ version: VERSION, crc32: checksum(consumers), consumers }, undefined, 2)
    const write = () => replaceFile(this.#files, this.#directory, NAME, Buffer.from(`${text}\n`))
    await write().catch(async (error) => {
      if (!isNoSpace(error)) throw error
      await this.#reserve.release()
      await write()
    })
    for (const [name, progress] of snapshot) this.#durable.set(name, progress)
  }
}

/**
 * A damaged file is not trusted: the consumers begin again at the head of the log, which repeats but never loses. A later version
 * is not damage: to begin again would repeat all that is stored. A content that is right for this version is of this version,
 * whatever number stands there: a flipped bit is not a version.
 */
function parse(text: string): Record<string, ConsumerProgress> | 'damaged' | 'later version' {
  try {
    const { version, crc32: written, consumers = {} } = JSON.parse(text)
    const sound = Object.values(consumers as Record<string, ConsumerProgress>).every(isProgress)
    // A changed digit is an offset as good as any other, and would skip events: only the checksum tells.
    if (sound && version >= VERSION && written === checksum(consumers)) return consumers
    if (sound && version === 1) return consumers // had none
    if (Number.isInteger(version) && version > VERSION) return 'later version'
  } catch {}
  return 'damaged'
}

/** Exactly what this version writes: what a later one has added must not be lost when the file is written again. */
function isProgress(progress: ConsumerProgress): boolean {
  const { offset, startOffset, deadLettered, damaged, ...more } = progress
  return [offset, startOffset, deadLettered, damaged].every(Number.isSafeInteger) && Object.keys(more).length === 0
}

function laterVersion(directory: string): MillraceError {
  return new MillraceError(
    'LOG_FORMAT',
    `a later version of Millrace wrote ${join(directory, NAME)}: start that version, or point DATA_DIR to another directory`,
  )
}

function checksum(consumers: object): number {
  return crc32(JSON.stringify(consumers))
}
