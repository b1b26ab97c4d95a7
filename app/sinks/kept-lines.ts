/**
 * A copy of lines until they are durable in a file, in memory that is reused. Keeping the lines themselves would also
 * keep the large buffers that they are part of, for so long that only a full collection could free them.
 */
const CHUNK_BYTES = 1024 * 1024

export class KeptLines {
  /** Length of all lines. */
  bytes = 0
  readonly #chunks: Buffer[] = []

  add(lines: readonly Buffer[]): void {
    for (const line of lines) {
      for (let done = 0; done < line.length; ) {
        const at = this.bytes % CHUNK_BYTES
        const chunk = this.#chunkOf(this.bytes)
        const copied = line.copy(chunk, at, done)
        done += copied
        this.bytes += copied
      }
    }
  }

  /** The lines, in order. Valid until the next call. */
  get parts(): Buffer[] {
    const used = this.#chunks.slice(0, Math.ceil(this.bytes / CHUNK_BYTES))
    return used.map((chunk, index) => chunk.subarray(0, this.bytes - index * CHUNK_BYTES))
  }

  clear(): void {
    this.bytes = 0
  }

  #chunkOf(byte: number): Buffer {
    const index = Math.floor(byte / CHUNK_BYTES)
    this.#chunks[index] ??= Buffer.allocUnsafeSlow(CHUNK_BYTES)
    return this.#chunks[index]
  }
}
