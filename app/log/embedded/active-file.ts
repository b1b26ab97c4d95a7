/**
 * The file that is written to, and the buffer that groups are laid out in.
 *
 *     │ segment header │ group │ group │ zeros: allocated, not used yet │
 *                                      ▲ where the next group goes      ▲ allocated
 *
 * To sync a file that has grown costs a write of the file system's journal as well. So a small group that makes it longer takes zeros
 * along, and the groups that follow are spared it. Readers and recovery know zeros at the end for what they are.
 */
import { type Batch, knownOfAll } from '../../write.ts'
import { type File, writeFully } from './files.ts'
import { GROUP_HEADER_BYTES, writeGroupHeader } from './format.ts'
import { isNoSpace } from './reserve.ts'

/** The file grows to a multiple of this. */
const ALLOCATE_BYTES = 256 * 1024
/** A larger group would write half of the disk's bandwidth for nothing. */
const SMALL_GROUP_BYTES = ALLOCATE_BYTES / 4
const INITIAL_BYTES = 64 * 1024
const NEWLINE = 0x0a

/** One group as it lies in the file. Reused for every group; grows to the largest one met. */
export class GroupBuffer {
  bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES)
  /** Of the group, with its header. */
  length = 0
  /** Events in it. */
  count = 0

  /** Payload first, then the header in front of it. @param baseOffset of its first event. */
  encode(batches: readonly Batch[], baseOffset: number): void {
    this.length = GROUP_HEADER_BYTES
    this.count = 0
    for (const batch of batches) {
      this.length += batch.payload.length + 1
      this.count += batch.count
    }
    if (this.length > this.bytes.length) this.bytes = Buffer.allocUnsafeSlow(this.length)
    let at = GROUP_HEADER_BYTES
    for (const { payload } of batches) {
      this.bytes.set(payload, at)
      at += payload.length
      this.bytes[at] = NEWLINE
      at += 1
    }
    const { count, length } = this
    const payloadBytes = length - GROUP_HEADER_BYTES
    const known = knownOfAll(batches)
    writeGroupHeader(this.bytes, 0, { payloadBytes, count, baseOffset, appendedAtMs: Date.now(), known })
  }

  /** Zeros behind the group, until both have so many bytes. */
  pad(bytes: number): void {
    if (bytes > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(bytes)
      larger.set(this.bytes.subarray(0, this.length))
      this.bytes = larger
    }
    this.bytes.fill(0, this.length, bytes)
  }
}

export class ActiveFile {
  readonly #file: File
  #allocatedBytes: number

  /** @param bytes that it has. */
  constructor(file: File, bytes: number) {
    this.#file = file
    this.#allocatedBytes = bytes
  }

  /**
   * Durable when it returns.
   * @param limitBytes how long the file may become by what is allocated ahead; the group itself is written in any case.
   */
  async write(group: GroupBuffer, position: number, limitBytes: number): Promise<void> {
    const length = this.#lengthWithZeros(group.length, position, limitBytes)
    group.pad(length)
    let done = 0
    try {
      // A short write that only loses padding is fine: the padding is optional.
      while (done < group.length) done += await this.#file.write(group.bytes, done, length - done, position + done)
    } catch (error) {
      if (length === group.length || !isNoSpace(error)) throw error
      await writeFully(this.#file, group.bytes, group.length, position)
      done = group.length
    }
    this.#allocatedBytes = Math.max(this.#allocatedBytes, position + done)
  }

  /** Durable, too: else a power cut could bring back what is cut off. */
  async truncate(bytes: number): Promise<void> {
    await this.#file.truncate(bytes)
    await this.#file.datasync()
    this.#allocatedBytes = bytes
  }

  /** @param usedBytes what is behind them is given back; undefined when nothing may be changed any more. */
  async close(usedBytes: number | undefined): Promise<void> {
    // Only tidies.
    if (usedBytes !== undefined && this.#allocatedBytes > usedBytes)
      await this.#file.truncate(usedBytes).catch(() => undefined)
    await this.#file.close()
  }

  #lengthWithZeros(length: number, position: number, limitBytes: number): number {
    const end = position + length
    if (end <= this.#allocatedBytes || length >= SMALL_GROUP_BYTES) return length
    const step = Math.ceil(end / ALLOCATE_BYTES) * ALLOCATE_BYTES
    return Math.max(length, Math.min(step, limitBytes) - position)
  }
}
