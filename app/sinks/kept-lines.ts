/**
 * A copy of lines until they are known to be in a file, in memory that is used again. To hold on to the lines themselves
 * would keep all of what they were read with, for so long that only a full collection gives it back.
 */
const CHUNK_BYTES = 1024 * 1024

export class KeptLines {
  /** Of all of them. */
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

  /** In order, as they follow one another: valid until the next call. */
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
