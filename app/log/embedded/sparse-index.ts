/**
 * Where in a segment a reader begins for an offset: one entry for every ENTRY_EVERY_BYTES of the segment, so 256
 * entries for 64 MiB. Written beside a finished segment, never synced, never trusted: without a valid index, a reader
 * begins at the head of the segment.
 *
 *     file: entries of 16 bytes (8 offset, 8 position), then 4 bytes crc32 of the entries
 */
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type Files, readWhole, writeFully } from './files.ts'
import { indexName, SEGMENT_HEADER_BYTES } from './format.ts'

const ENTRY_EVERY_BYTES = 256 * 1024
const ENTRY_BYTES = 16
const CRC_BYTES = 4

export class SparseIndex {
  readonly #offsets: number[] = []
  readonly #positions: number[] = []

  /** Adds an entry for a group if it is far enough from the last entry. */
  add(offset: number, position: number): void {
    const last = this.#positions.at(-1) ?? SEGMENT_HEADER_BYTES
    if (position - last < ENTRY_EVERY_BYTES) return
    this.#offsets.push(offset)
    this.#positions.push(position)
  }

  /** File position of a group boundary at or before `offset`. */
  seek(offset: number): number {
    let low = 0
    let high = this.#offsets.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#offsets[middle] ?? 0) <= offset) low = middle + 1
      else high = middle
    }
    return this.#positions[low - 1] ?? SEGMENT_HEADER_BYTES
  }

  async save(files: Files, directory: string, baseOffset: number): Promise<void> {
    const length = this.#offsets.length * ENTRY_BYTES
    const bytes = Buffer.alloc(length + CRC_BYTES)
    for (const [entry, offset] of this.#offsets.entries()) {
      bytes.writeBigUInt64LE(BigInt(offset), entry * ENTRY_BYTES)
      bytes.writeBigUInt64LE(BigInt(this.#positions[entry] ?? 0), entry * ENTRY_BYTES + 8)
    }
    bytes.writeUInt32LE(crc32(bytes.subarray(0, length)), length)
    const path = join(directory, indexName(baseOffset))
    await files.remove(path).catch(() => undefined)
    const file = await files.open(path, 'create')
    try {
      await writeFully(file, bytes, bytes.length, 0)
    } finally {
      await file.close()
    }
  }

  static async load(files: Files, directory: string, baseOffset: number): Promise<SparseIndex> {
    const index = new SparseIndex()
    const bytes = await readWhole(files, join(directory, indexName(baseOffset))).catch(() => Buffer.alloc(0))
    const length = bytes.length - CRC_BYTES
    if (length < 0 || length % ENTRY_BYTES !== 0) return index
    if (bytes.readUInt32LE(length) !== crc32(bytes.subarray(0, length))) return index
    for (let at = 0; at < length; at += ENTRY_BYTES) {
      index.#offsets.push(Number(bytes.readBigUInt64LE(at)))
      index.#positions.push(Number(bytes.readBigUInt64LE(at + 8)))
    }
    return index
  }
}
