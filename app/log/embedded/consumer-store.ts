/**
 * Progress of every consumer, in one small file that is always replaced as a whole. It uses group commit, too: a flush
 * writes the progress that all consumers have set so far, and the next flush starts when it returns.
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
  /** Progress that is on disk, as a restart would read it. */
  readonly #durable = new Map<string, ConsumerProgress>()
  readonly #wanted = new Map<string, ConsumerProgress>()
  #flushing: Promise<void> | undefined

  private constructor(files: Files, directory: string, reserve: SpaceReserve) {
    this.#files = files
    this.#directory = directory
    this.#reserve = reserve
  }

  /** @throws MillraceError LOG_FORMAT when a later version wrote the file, so that this one cannot read it. */
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

  /** Resolves once `progress`, or newer progress of the same consumer, is durable. */
  async set(name: string, progress: ConsumerProgress): Promise<void> {
    this.#wanted.set(name, progress)
    // A flush in progress may not include this value: wait for it, then for a flush that does.
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
 * A damaged file is not trusted: the consumers start again at the head of the log, which repeats events but loses none.
 * A later version is not damage: a new start would repeat the whole log. Content that is valid for this version counts
 * as this version, whatever its version number says, because that number may have a flipped bit.
 */
function parse(text: string): Record<string, ConsumerProgress> | 'damaged' | 'later version' {
  try {
    const { version, crc32: written, consumers = {} } = JSON.parse(text)
    const sound = Object.values(consumers as Record<string, ConsumerProgress>).every(isProgress)
    // An offset with a changed digit still looks valid and would skip events: only the checksum detects it.
    if (sound && version >= VERSION && written === checksum(consumers)) return consumers
    if (sound && version === 1) return consumers // version 1 had no checksum
    if (Number.isInteger(version) && version > VERSION) return 'later version'
  } catch {}
  return 'damaged'
}

/** Accepts exactly the members that this version writes: members of a later version would be lost at the next write. */
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
