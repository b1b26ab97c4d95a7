/**
 * Content-Encoding (RFC 9110, section 8.4): one decoder a request, stopped as soon as the limit is passed. A body is decoded
 * to its last byte or refused: Node's decoders leave bytes behind the end of a stream unread, and say nothing of it.
 *
 * A few at once: a body of some bytes can make a decoder take 16 MiB for its window (brotli; zstd 8), and there are no
 * more threads for it.
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

/** What these call back with when asked for `info`, which their types do not know. */
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

/** "deflate" means zlib (RFC 1950), but some clients send it bare (RFC 1951): the two-byte header tells. */
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

/** The one encoding that the header names; empty elements of its list and `identity` say nothing (RFC 9110, 5.6.1). */
function encodingOf(header: string): string {
  const names = header
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity')
  return names.join(', ')
}

/**
 * @param header the value of `Content-Encoding`.
 * @param maxBytes limit of the inflated body.
 * @throws MillraceError UNSUPPORTED_ENCODING, BODY_TOO_LARGE (before more than the limit was inflated), MALFORMED.
 */
export async function inflate(header: string, body: Buffer, maxBytes: number): Promise<Buffer> {
  const name = encodingOf(header)
  if (name === '') return body
  const decode = Object.hasOwn(DECODERS, name) ? DECODERS[name] : undefined
  if (decode === undefined) {
    throw new MillraceError(
      'UNSUPPORTED_ENCODING',
      `content encoding ${JSON.stringify(name.slice(0, 100))} is not supported: use one of gzip, deflate, br, zstd`,
    )
  }
  try {
    return await inTurn(() => decode(body, { maxOutputLength: maxBytes }))
  } catch (error) {
    if (systemCode(error) === 'ERR_BUFFER_TOO_LARGE') {
      throw new MillraceError('BODY_TOO_LARGE', `the body inflates to more than ${maxBytes} bytes: send less at a time`)
    }
    const fix = 'send it whole, and encoded once'
    throw new MillraceError('MALFORMED', `the body is not valid ${name} (${messageOf(error)}): ${fix}`, {
      cause: error,
    })
  }
}
