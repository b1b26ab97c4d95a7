/**
 * Splits a zstd stream into its frames (RFC 8878, section 3.1). Node's decoder reads only the first frame of a chunk,
 * and accepts a stream that ends within a frame.
 *
 *     magic (4) · header (1 … 14) · blocks: header (3), content · … last block · checksum (0 or 4)
 *     magic 0x184D2A5? (4) · size (4) · content: skipped
 */

const MAGIC = 0xfd2fb528
const SKIPPABLE = 0x184d2a50
const [RLE_BLOCK, RESERVED_BLOCK] = [1, 3]

/** The kind of the next part, and its length in bytes. */
type Step =
  | { readonly need: number; readonly of: 'magic' | 'size' | 'descriptor' | 'block'; readonly pass?: undefined }
  | { readonly pass: number; readonly skip: boolean }

/**
 * Cuts `input` so that no chunk holds more than one frame. Drops skippable frames.
 * @throws Error when the input ends within a frame, or when a frame is followed by other data.
 */
export async function* zstdFrames(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let step: Step = { need: 4, of: 'magic' } as Step
  let isLast = false
  let checksumBytes = 0
  let header = Buffer.alloc(0)
  for await (const chunk of input) {
    let from = 0
    while (from < chunk.length) {
      if (step.pass !== undefined) {
        const { pass, skip }: { readonly pass: number; readonly skip: boolean } = step
        const bytes = Math.min(pass, chunk.length - from)
        if (!skip) yield chunk.subarray(from, from + bytes)
        from += bytes
        if (bytes < pass) step = { pass: pass - bytes, skip }
        else step = skip || isLast ? { need: 4, of: 'magic' } : { need: 3, of: 'block' }
        continue
      }
      const bytes = chunk.subarray(from, from + step.need - header.length)
      header = Buffer.concat([header, bytes])
      from += bytes.length
      if (header.length < step.need) continue
      const read = header
      header = Buffer.alloc(0)
      switch (step.of) {
        case 'magic': {
          const magic = read.readUInt32LE()
          if (magic === MAGIC) {
            isLast = false
            yield read
            step = { need: 1, of: 'descriptor' }
          } else if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) step = { need: 4, of: 'size' }
          else throw new Error('what follows a frame is not zstd')
          break
        }
        case 'size':
          step = { pass: read.readUInt32LE(), skip: true }
          if (step.pass === 0) step = { need: 4, of: 'magic' }
          break
        case 'descriptor': {
          yield read
          const descriptor = read[0] as number
          const isSingle = (descriptor & 0x20) !== 0
          const sizeFlag = descriptor >> 6
          checksumBytes = (descriptor & 0x04) !== 0 ? 4 : 0
          const sizeBytes = sizeFlag === 0 ? Number(isSingle) : 1 << sizeFlag
          const dictionaryBytes = [0, 1, 2, 4][descriptor & 0x03] as number
          const rest: number = Number(!isSingle) + dictionaryBytes + sizeBytes
          step = { pass: rest, skip: false }
          break
        }
        case 'block': {
          yield read
          const block = read.readUIntLE(0, 3)
          isLast = (block & 1) === 1
          const type = (block >> 1) & 3
          if (type === RESERVED_BLOCK) throw new Error('a block of a kind that zstd does not have')
          const size = type === RLE_BLOCK ? 1 : block >> 3
          const pass: number = size + (isLast ? checksumBytes : 0)
          step = pass > 0 ? { pass, skip: false } : isLast ? { need: 4, of: 'magic' } : { need: 3, of: 'block' }
        }
      }
    }
  }
  const isBetween = step.pass === undefined && step.of === 'magic' && header.length === 0
  if (!isBetween) throw new Error('unexpected end of file')
}
