/**
 * Zstandard bodies (RFC 8878): one or more frames, and skippable frames anywhere between them.
 *
 *     magic 28 B5 2F FD │ descriptor │ window? │ dictionary? │ content size? │ block │ … │ last block │ checksum?
 *     magic 5x 2A 4D 18 │ size │ `size` bytes to skip
 *     block: 3 bytes, little-endian: bit 0 last block │ bits 1–2 type │ bits 3–23 size
 *
 * Node's decoder stops silently after the first frame, and accepts a frame that is cut short. So this module finds the
 * frames by their headers and gives them to the decoder one at a time.
 */
import zlib, { type ZlibOptions } from 'node:zlib'

/** 8 MiB. RFC 9659 asks decoders for at least that, and lets them refuse more: it limits what a frame can allocate. */
const WINDOW_LOG_MAX = 23
/** Each frame costs a call in another thread. A frame for each event of the largest request is still accepted. */
const MAX_FRAMES = 10_000
const FRAME_MAGIC = 0xfd2fb528
/** The low four bits of the first byte can have any value. */
const SKIPPABLE_MAGIC = 0x184d2a50
const SKIPPABLE_HEADER_BYTES = 8
const BLOCK_HEADER_BYTES = 3
const RLE_BLOCK = 1
const CHECKSUM_BYTES = 4
/** Sizes of fields: the dictionary id by the last two bits of the descriptor, the content size by its first two. */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4]
const CONTENT_SIZE_BYTES = [0, 2, 4, 8]

/**
 * @param options.maxOutputLength limit of the output of all frames together, bytes; applied whatever the frames say.
 * @throws Error with code ERR_BUFFER_TOO_LARGE beyond the limit; any other error says what is wrong with the body.
 */
export async function decompressZstd(body: Buffer, { maxOutputLength }: ZlibOptions): Promise<Buffer> {
  const maxBytes = maxOutputLength ?? Number.POSITIVE_INFINITY
  const frames = framesOf(body)
  const decoder = zlib.createZstdDecompress({
    params: { [zlib.constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
    chunkSize: Math.min(Math.max(4 * body.length, 16 * 1024), 1024 * 1024),
  })
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  let bytes = 0
  decoder.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    chunks.push(chunk)
    if (bytes > maxBytes) decoder.destroy(Object.assign(new Error('too large'), { code: 'ERR_BUFFER_TOO_LARGE' }))
  })
  decoder.on('error', reject)
  decoder.on('end', () => resolve(Buffer.concat(chunks, bytes)))
  for (const frame of frames) decoder.write(frame)
  decoder.end()
  return promise
}

/** The frames with content, each complete. @throws Error when a frame is invalid, or the body ends within it. */
function framesOf(body: Buffer): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const magic = at + 4 <= body.length ? body.readUInt32LE(at) : undefined
    if (magic === undefined) throw new Error(`the body ends within the header of the frame at byte ${at}`)
    const isSkippable = (magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC
    if (!isSkippable && magic !== FRAME_MAGIC) throw new Error(`no frame begins at byte ${at}`)
    const end = isSkippable ? skippableEnd(body, at) : frameEnd(body, at)
    if (end === undefined || end > body.length) throw new Error(`the body ends within the frame at byte ${at}`)
    if (!isSkippable) frames.push(body.subarray(at, end))
    if (frames.length > MAX_FRAMES) throw new Error(`more than ${MAX_FRAMES} frames: put more into each`)
    at = end
  }
  return frames
}

function skippableEnd(body: Buffer, at: number): number | undefined {
  const begin = at + SKIPPABLE_HEADER_BYTES
  return begin <= body.length ? begin + body.readUInt32LE(at + 4) : undefined
}

/** The position after the last block and its checksum; undefined when the body ends earlier. */
function frameEnd(body: Buffer, at: number): number | undefined {
  const descriptor = body[at + 4]
  if (descriptor === undefined) return undefined
  const isSingleSegment = (descriptor & 0x20) !== 0
  const contentSizeBytes = CONTENT_SIZE_BYTES[descriptor >> 6] || (isSingleSegment ? 1 : 0)
  let next = at + 5 + (isSingleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0) + contentSizeBytes
  for (;;) {
    if (next + BLOCK_HEADER_BYTES > body.length) return undefined
    const header = body.readUIntLE(next, BLOCK_HEADER_BYTES)
    next += BLOCK_HEADER_BYTES + (((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3)
    if ((header & 1) !== 0) return next + ((descriptor & 4) !== 0 ? CHECKSUM_BYTES : 0)
  }
}
