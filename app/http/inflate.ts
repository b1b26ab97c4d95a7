/**
 * Content-Encoding (RFC 9110, section 8.4): one decoder a request, stopped as soon as the limit is passed. A few at once: a
 * body of some bytes can make a decoder take 16 MiB for its window (brotli; zstd 8), and there are no more threads for it.
 */
import { promisify } from 'node:util'
import zlib, { type ZlibOptions } from 'node:zlib'
import { MillraceError, messageOf, systemCode } from '../errors.ts'

type Decoder = (body: Buffer, options: ZlibOptions) => Promise<Buffer>

const inflateZlib = promisify<Buffer, ZlibOptions, Buffer>(zlib.inflate)
const inflateRaw = promisify<Buffer, ZlibOptions, Buffer>(zlib.inflateRaw)
const gunzip = promisify<Buffer, ZlibOptions, Buffer>(zlib.gunzip)
const brotli = promisify(zlib.brotliDecompress) as Decoder
const zstd = promisify(zlib.zstdDecompress) as Decoder

/** RFC 9659 asks decoders for a window of 8 MiB at least, and lets them refuse more: a frame cannot make us allocate. */
const ZSTD_WINDOW_LOG_MAX = 23

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

/** "deflate" means zlib (RFC 1950), but some clients send it bare (RFC 1951): the two-byte header tells. */
function isZlib(body: Buffer): boolean {
  return body.length >= 2 && ((body[0] ?? 0) & 0x0f) === 8 && body.readUInt16BE(0) % 31 === 0
}

const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: (body, options) => (isZlib(body) ? inflateZlib(body, options) : inflateRaw(body, options)),
  br: brotli,
  zstd: (body, options) =>
    zstd(body, { ...options, params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } } as ZlibOptions),
}

/**
 * @param maxBytes limit of the inflated body.
 * @throws MillraceError UNSUPPORTED_ENCODING, BODY_TOO_LARGE (before more than the limit was inflated), MALFORMED.
 */
export async function inflate(encoding: string, body: Buffer, maxBytes: number): Promise<Buffer> {
  const name = encoding.trim().toLowerCase()
  if (name === '' || name === 'identity') return body
  const decode = Object.hasOwn(DECODERS, name) ? DECODERS[name] : undefined
  if (decode === undefined) {
    throw new MillraceError(
      'UNSUPPORTED_ENCODING',
      `content encoding ${JSON.stringify(name)} is not supported: use one of gzip, deflate, br, zstd`,
    )
  }
  try {
    return await inTurn(() => decode(body, { maxOutputLength: maxBytes }))
  } catch (error) {
    if (systemCode(error) === 'ERR_BUFFER_TOO_LARGE') {
      throw new MillraceError('BODY_TOO_LARGE', `the body inflates to more than ${maxBytes} bytes: send less at a time`)
    }
    throw new MillraceError('MALFORMED', `the body is not sound ${name} (${messageOf(error)})`, { cause: error })
  }
}
