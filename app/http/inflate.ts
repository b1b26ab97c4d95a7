/**
 * Content-Encoding (RFC 9110, section 8.4): a body is decoded to its last byte or refused. Node's decoders ignore bytes
 * after the end of a stream and do not report them.
 *
 *     Content-Encoding: gzip, br      the sender applied gzip first, then br
 *     body ─br─▶ bytes ─gzip─▶ events    each stage stops as soon as its output passes the limit
 *
 * Only a few bodies are decoded at once. A tiny body can make a decoder allocate a window of 16 MiB (brotli; zstd 8).
 * More decoders would only wait for a thread.
 */
import zlib, { type ZlibOptions } from 'node:zlib'
import { MillraceError, messageOf, systemCode } from '../errors.ts'
import { decompressZstd } from './zstd.ts'

type Decoder = (body: Buffer, options: ZlibOptions) => Promise<Buffer>

const MAX_AT_ONCE = 4
let running = 0
const waiting: (() => void)[] = []

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running >= MAX_AT_ONCE) await new Promise<void>((start) => waiting.push(start))
  else running += 1
  try {
    return await work()
  } finally {
    const next = waiting.shift() // has the place of this one
    if (next) next()
    else running -= 1
  }
}

/** The result of a decoder with the option `info`, which Node's types do not have. */
type Informed = (
  body: Buffer,
  options: ZlibOptions & { info: true },
  done: (error: Error | null, result: { buffer: Buffer; engine: { bytesWritten: number } }) => void,
) => void

/** One stream, or for gzip several (RFC 1952, section 2.2), up to the end of the body. */
function wholly(decode: unknown): Decoder {
  return (body, options) =>
    new Promise((resolve, reject) => {
      const done: Parameters<Informed>[2] = (error, result) => {
        if (error) return reject(error)
        const read = result.engine.bytesWritten
        if (read === body.length) resolve(result.buffer)
        else reject(new Error(`it ends at byte ${read}, and ${body.length - read} more follow`))
      }
      ;(decode as Informed)(body, { ...options, info: true }, done)
    })
}

const gunzip = wholly(zlib.gunzip)
const inflateZlib = wholly(zlib.inflate)
const inflateRaw = wholly(zlib.inflateRaw)

/** "deflate" means zlib (RFC 1950), but some clients send raw deflate (RFC 1951). The two-byte header tells which. */
function isZlib(body: Buffer): boolean {
  return body.length >= 2 && ((body[0] ?? 0) & 0x0f) === 8 && body.readUInt16BE(0) % 31 === 0
}

const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: (body, options) => (isZlib(body) ? inflateZlib(body, options) : inflateRaw(body, options)),
  br: wholly(zlib.brotliDecompress),
  zstd: decompressZstd,
}

/** Each coding costs a decoder and a buffer as large as the limit. No known client applies more than two. */
const MAX_CODINGS = 3

/** Value of the header `Accept-Encoding` in an answer to a coding that is not supported (RFC 9110, section 15.5.16). */
export const SUPPORTED_CODINGS = 'gzip, deflate, br, zstd'

/** The codings in the order applied. Empty elements (RFC 9110, section 5.6.1) and `identity` are skipped. */
function codingsOf(header: string): string[] {
  return header
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity')
}

/** @throws MillraceError UNSUPPORTED_ENCODING. */
function decoderOf(name: string): Decoder {
  const decode = Object.hasOwn(DECODERS, name) ? DECODERS[name] : undefined
  if (decode !== undefined) return decode
  const problem = `content encoding ${JSON.stringify(name.slice(0, 100))} is not supported: use ${SUPPORTED_CODINGS}`
  throw new MillraceError('UNSUPPORTED_ENCODING', problem)
}

/**
 * @param header the value of `Content-Encoding`: at most {@link MAX_CODINGS} codings, in the order applied.
 * @param maxBytes limit of the output of each stage.
 * @throws MillraceError UNSUPPORTED_ENCODING, BODY_TOO_LARGE (before a stage wrote more than the limit), MALFORMED.
 */
export async function inflate(header: string, body: Buffer, maxBytes: number): Promise<Buffer> {
  const names = codingsOf(header)
  if (names.length > MAX_CODINGS) {
    const problem = `${names.length} content encodings, the limit is ${MAX_CODINGS}: encode the body once`
    throw new MillraceError('UNSUPPORTED_ENCODING', problem)
  }
  const stages = names.map((name) => ({ name, decode: decoderOf(name) }))
  let bytes = body
  for (const { name, decode } of stages.reverse()) bytes = await runStage(name, decode, bytes, maxBytes)
  return bytes
}

async function runStage(name: string, decode: Decoder, body: Buffer, maxBytes: number): Promise<Buffer> {
  try {
    return await inTurn(() => decode(body, { maxOutputLength: maxBytes }))
  } catch (error) {
    if (systemCode(error) === 'ERR_BUFFER_TOO_LARGE') {
      throw new MillraceError('BODY_TOO_LARGE', `the body inflates to more than ${maxBytes} bytes: send less at a time`)
    }
    const fix = 'send it whole, with its codings in content-encoding in the order applied'
    throw new MillraceError('MALFORMED', `the body is not valid ${name} (${messageOf(error)}): ${fix}`, {
      cause: error,
    })
  }
}
