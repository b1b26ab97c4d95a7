/**
 * The file that the log writes to, and the buffer in which a group is encoded.
 *
 *     │ segment header │ group │ group │ zeros: allocated, not used yet │
 *                                      ▲ where the next group goes      ▲ allocated
 *
 * Syncing a file that has grown costs an extra write of the file system's journal. So a small group that extends the
 * file also writes zeros after it, and the groups that follow fit into them. Readers and recovery treat zeros at the
 * end as unused space.
 */
import { type Batch, knownOfAll } from '../../write.ts'
import { type File, writeFully } from './files.ts'
import { GROUP_HEADER_BYTES, writeGroupHeader } from './format.ts'
import { isNoSpace } from './reserve.ts'

/** The file grows to a multiple of this size. */
const ALLOCATE_BYTES = 256 * 1024
/** Only groups below this size are padded: for a larger group, up to half of the disk's bandwidth would go to zeros. */
const SMALL_GROUP_BYTES = ALLOCATE_BYTES / 4
const INITIAL_BYTES = 64 * 1024
const NEWLINE = 0x0a

/** One group as it is written to the file. Reused for every group; grows to the largest group so far. */
export class GroupBuffer {
  bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES)
  /** Bytes of the group, with its header. */
  length = 0
  /** Events in the group. */
  count = 0

  /** Writes the payload first, then the header before it. @param baseOffset offset of the group's first event. */
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

  /** Adds zeros after the group, up to `bytes` in total. */
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

  /** @param bytes current length of the file. */
  constructor(file: File, bytes: number) {
    this.#file = file
    this.#allocatedBytes = bytes
  }

  /**
   * Writes a group. It is durable when this returns.
   * @param limitBytes maximum length of the file with padding. The group itself is written in any case.
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

  /** Cuts the file off, durably: otherwise a power cut could bring the removed bytes back. */
  async truncate(bytes: number): Promise<void> {
    await this.#file.truncate(bytes)
    await this.#file.datasync()
    this.#allocatedBytes = bytes
  }

  /** @param usedBytes the file is truncated to this length; undefined if it must not be changed any more. */
  async close(usedBytes: number | undefined): Promise<void> {
    // This only frees space: readers ignore zeros at the end, so an error does not matter.
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
