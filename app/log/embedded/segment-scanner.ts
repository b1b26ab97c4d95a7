/**
 * Reads one segment group by group, verifies every checksum, and skips damage up to the next valid group.
 * Recovery, consumers, `log verify` and `log inspect` all read through it, so they agree on what is valid.
 *
 *     file      … [header|payload] [header|payload] ✗✗✗✗✗✗✗ [header|payload] │ limit
 *     next()         group             group         damage       group        undefined
 *
 * Memory: one buffer, as large as the largest group so far, at least READ_AHEAD_BYTES.
 */
import { crc32 } from 'node:zlib'
import { type File, readFully } from './files.ts'
import { GROUP_HEADER_BYTES, GROUP_MAGIC, type GroupHeader, readGroupHeader, SEGMENT_HEADER_BYTES } from './format.ts'

const READ_AHEAD_BYTES = 256 * 1024

export type Scanned =
  | {
      readonly kind: 'group'
      readonly position: number
      readonly header: GroupHeader
      /** Valid until the next call of `next`. */
      readonly payload: Buffer
    }
  | {
      readonly kind: 'damage'
      readonly position: number
      readonly bytes: number
      readonly reason: string
      /** True when no valid group follows before the limit: in the last segment, that means a torn write. */
      readonly tail: boolean
    }

export class SegmentScanner {
  readonly #file: File
  #buffer = Buffer.allocUnsafeSlow(READ_AHEAD_BYTES)
  /** File position of buffer[0], and how many bytes of the buffer are filled. */
  #bufferPosition: number
  #filled = 0
  #position: number

  /** @param position a group boundary: the end of the segment header, or an entry of the sparse index. */
  constructor(file: File, position: number = SEGMENT_HEADER_BYTES) {
    this.#file = file
    this.#position = position
    this.#bufferPosition = position
  }

  /** File position at which `next` will continue. */
  get position(): number {
    return this.#position
  }

  /**
   * The next group or damage that begins before `limit`; undefined at the limit, or if only zeros are left before it
   * (space that the writer allocated ahead). Then `position` is the end of the groups.
   * @param limit bytes, at most the durable length.
   */
  async next(limit: number): Promise<Scanned | undefined> {
    const position = this.#position
    if (position >= limit) return undefined
    const at = await this.#load(position, GROUP_HEADER_BYTES, limit)
    const header = readGroupHeader(this.#buffer.subarray(0, this.#filled), at)
    if (header === undefined) {
      return (await this.#isUnused(limit)) ? undefined : this.#skipTo(limit, 'group header is damaged')
    }

    const end = position + GROUP_HEADER_BYTES + header.payloadBytes
    if (end > limit) return this.#skipTo(limit, 'group is cut short')
    const start = (await this.#load(position, GROUP_HEADER_BYTES + header.payloadBytes, limit)) + GROUP_HEADER_BYTES
    const payload = this.#buffer.subarray(start, start + header.payloadBytes)
    this.#position = end
    if (payload.length < header.payloadBytes || crc32(payload) !== header.payloadCrc) {
      const reason = 'checksum of the payload does not match'
      return { kind: 'damage', position, bytes: end - position, reason, tail: await this.#isUnused(limit) }
    }
    return { kind: 'group', position, header, payload }
  }

  /** Whether there are only zeros from the current position on. */
  async #isUnused(limit: number): Promise<boolean> {
    for (let from = this.#position; from < limit; ) {
      const at = await this.#load(from, 1, limit)
      const filled = this.#buffer.subarray(at, Math.min(this.#filled, at + limit - from))
      if (filled.length === 0) return true // the file ends before the limit
      if (filled.some((byte) => byte !== 0)) return false
      from += filled.length
    }
    return true
  }

  /** Looks for the next valid group header after the current position. */
  async #skipTo(limit: number, reason: string): Promise<Scanned> {
    const position = this.#position
    let candidate = position + 1
    while (candidate < limit) {
      const at = await this.#load(candidate, GROUP_HEADER_BYTES, limit)
      const filled = this.#buffer.subarray(0, this.#filled)
      const found = filled.indexOf(GROUP_MAGIC, at)
      if (found === -1) {
        // The magic may cross the end of the buffer.
        candidate = Math.max(candidate + 1, this.#bufferPosition + this.#filled - GROUP_MAGIC.length + 1)
        continue
      }
      candidate = this.#bufferPosition + found
      const header = readGroupHeader(this.#buffer, await this.#load(candidate, GROUP_HEADER_BYTES, limit))
      if (header !== undefined && candidate + GROUP_HEADER_BYTES + header.payloadBytes <= limit) break
      candidate += 1
    }
    const end = Math.min(candidate, limit)
    this.#position = end
    return { kind: 'damage', position, bytes: end - position, reason, tail: end >= limit }
  }

  /** Loads `bytes` (or all up to the limit) from `position` on; returns their index in the buffer. */
  async #load(position: number, bytes: number, limit: number): Promise<number> {
    const wanted = Math.min(bytes, limit - position)
    let at = position - this.#bufferPosition
    if (at + wanted <= this.#filled) return at

    const kept = Math.max(0, this.#filled - at)
    if (wanted > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(wanted)
      this.#buffer.copy(larger, 0, at, at + kept)
      this.#buffer = larger
    } else if (kept > 0) {
      this.#buffer.copyWithin(0, at, at + kept)
    }
    this.#bufferPosition = position
    this.#filled = kept
    at = 0
    const room = Math.min(this.#buffer.length, limit - position) - kept
    this.#filled += await readFully(this.#file, this.#buffer, kept, room, position + kept)
    return at
  }
}
