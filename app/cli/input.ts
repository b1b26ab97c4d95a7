/**
 * Reads the events of a file or of standard input, each with the line in which it begins.
 *
 *     bytes ─▶ gzip or zstd, by magic number ─▶ NDJSON, or arrays and objects over several lines ─▶ events, in UTF-8
 *
 * The input is read as a stream: memory holds one event, not the input. An event that is not UTF-8 is refused with its
 * position, and the others are read. Invalid bytes are never replaced by U+FFFD.
 */
import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { MillraceError, messageOf } from '../errors.ts'
import { documents } from './documents.ts'
import { lines, type Part } from './lines.ts'
import { zstdFrames } from './zstd-frames.ts'

/** Formats that we do not read, by their first bytes, and the command that converts them. */
const FOREIGN: readonly (readonly [magic: string, what: string, fix: string])[] = [
  ['fffe', 'is UTF-16', 'iconv -f UTF-16 -t UTF-8'],
  ['feff', 'is UTF-16', 'iconv -f UTF-16 -t UTF-8'],
  ['7b00', 'is UTF-16', 'iconv -f UTF-16LE -t UTF-8'],
  ['5b00', 'is UTF-16', 'iconv -f UTF-16LE -t UTF-8'],
  ['007b', 'is UTF-16', 'iconv -f UTF-16BE -t UTF-8'],
  ['005b', 'is UTF-16', 'iconv -f UTF-16BE -t UTF-8'],
  ['fd377a585a00', 'is compressed by xz', 'xz -dc'],
  ['425a68', 'is compressed by bzip2', 'bzip2 -dc'],
  ['04224d18', 'is compressed by lz4', 'lz4 -dc'],
  ['504b0304', 'is a zip archive', 'unzip -p'],
]
const MAGIC_BYTES = 6
const GZIP = '1f8b'
const ZSTD = /^28b52ffd|^5.2a4d18/
/** How many bytes are read to tell NDJSON from an object over several lines. */
const PEEK_BYTES = 64 * 1024
const NEWLINE = 0x0a

/** @param file a path, or `-` for standard input. */
export function openInput(file: string): { readonly stream: Readable; readonly name: string } {
  return file === '-'
    ? { stream: process.stdin, name: 'standard input' }
    : { stream: createReadStream(file), name: file }
}

/** @throws MillraceError NOT_FOUND, MALFORMED; its message names the input and says what to do. */
export async function* readEvents(stream: AsyncIterable<Buffer>, name: string): AsyncGenerator<Part> {
  let line = 0
  try {
    const [head, all] = await peek(await decoded(stream, name), isTelling)
    for await (const part of isDocument(head) ? documents(all) : lines(all)) {
      line = part.line
      yield requireUtf8(part)
    }
  } catch (error) {
    if (error instanceof MillraceError) throw error
    const fix = line > 0 ? `events up to line ${line} were read` : 'name a file with events, or - for standard input'
    throw new MillraceError('NOT_FOUND', `cannot read ${name} (${messageOf(error)}): ${fix}`, { cause: error })
  }
}

/** The input, decompressed if needed. */
async function decoded(stream: AsyncIterable<Buffer>, name: string): Promise<AsyncIterable<Buffer>> {
  const [head, all] = await peek(stream, (bytes) => bytes.length >= MAGIC_BYTES || bytes.includes(NEWLINE))
  const magic = head.toString('hex', 0, MAGIC_BYTES)
  const found = FOREIGN.find(([prefix]) => magic.startsWith(prefix))
  if (found !== undefined) {
    const [, what, fix] = found
    throw new MillraceError('MALFORMED', `${name} ${what}: convert it, ${fix} FILE | millrace send -`)
  }
  if (magic.startsWith(GZIP)) return unpacked(all, createGunzip({ rejectGarbageAfterEnd: true } as object), 'gzip')
  if (ZSTD.test(magic)) return unpacked(zstdFrames(all), createZstdDecompress(), 'zstd')
  if (head.length === 0 && /\.(gz|zst)$/i.test(name))
    throw new MillraceError('MALFORMED', `${name} is empty: it is cut short`)
  return all
}

async function* unpacked(
  packed: AsyncIterable<Buffer>,
  decoder: NodeJS.ReadWriteStream & Readable,
  format: string,
): AsyncGenerator<Buffer> {
  const source = Readable.from(packed) // object mode, so that each zstd frame stays in its own chunk
  source.on('error', (error) => decoder.destroy(error))
  try {
    yield* source.pipe(decoder) as AsyncIterable<Buffer>
  } catch (error) {
    throw new Error(`its ${format} data is damaged or cut short: ${messageOf(error)}`, { cause: error })
  } finally {
    source.destroy()
  }
}

/** Reads the first bytes until they are enough or the input ends. Returns them, and the whole input again. */
async function peek(
  input: AsyncIterable<Buffer>,
  isEnough: (head: Buffer) => boolean,
): Promise<[head: Buffer, all: AsyncIterable<Buffer>]> {
  const iterator = input[Symbol.asyncIterator]()
  let head: Buffer = Buffer.alloc(0)
  while (!isEnough(head)) {
    const { value, done } = await iterator.next()
    if (done) break
    head = head.length === 0 ? value : Buffer.concat([head, value])
  }
  const all = async function* () {
    try {
      if (head.length > 0) yield head
      for (;;) {
        const { value, done } = await iterator.next()
        if (done) return
        yield value
      }
    } finally {
      await iterator.return?.()
    }
  }
  return [head, all()]
}

/** Whether the first bytes tell the format: two lines do, often less. So a slow writer in a pipe need not send more. */
function isTelling(head: Buffer): boolean {
  if (head.length >= PEEK_BYTES) return true
  const text = textOf(head)
  if (text === '') return false
  return !text.startsWith('{') || linesOf(text).length > 2 || isJson(text.slice(0, text.indexOf('\n') + 1))
}

/**
 * Whether the input is not NDJSON. An array never is. An object is NDJSON if one of the first lines is a complete
 * object: if that is not the very first line, then only that line is malformed.
 */
function isDocument(head: Buffer): boolean {
  const text = textOf(head)
  if (text.startsWith('[')) return true
  if (!text.startsWith('{')) return false
  const all = linesOf(text)
  if (all.length === 1 && head.length >= PEEK_BYTES) return false // a long line
  return !all.some((line) => line.startsWith('{') && isJson(line))
}

function textOf(head: Buffer): string {
  return head.toString().replace(/^[\ufeff\s]+/, '')
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line, at, all) => line.trim() !== '' || at === all.length - 1)
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}

function requireUtf8(part: Part): Part {
  const { bytes } = part
  if (bytes === undefined) return part
  if (isUtf8(bytes)) return { ...part, bytes: inOneLine(bytes) }
  const at = invalidByte(bytes)
  const lastLine = bytes.lastIndexOf(NEWLINE, at)
  let line = part.line
  for (let from = bytes.indexOf(NEWLINE); from !== -1 && from < at; from = bytes.indexOf(NEWLINE, from + 1)) line += 1
  const column = lastLine === -1 ? part.column + at : at - lastLine
  const byte = bytes.toString('hex', at, at + 1)
  const fix = 'if it is Latin-1, convert the file with iconv -f ISO-8859-1 -t UTF-8'
  return { line, column, problem: `not UTF-8 at byte ${column} of the line (0x${byte}): ${fix}` }
}

function invalidByte(bytes: Buffer): number {
  const text = bytes.toString()
  // Decoding replaces invalid bytes with U+FFFD. A U+FFFD in the input itself is valid.
  for (let found = text.indexOf('\ufffd'); found !== -1; found = text.indexOf('\ufffd', found + 1)) {
    const at = Buffer.byteLength(text.slice(0, found))
    if (bytes.toString('hex', at, at + 3) !== 'efbfbd') return at
  }
  return 0
}

/** Replaces line breaks by spaces. They are white space between tokens: documents() refuses them in strings. */
function inOneLine(bytes: Buffer): Buffer {
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) bytes[at] = 0x20
  return bytes
}
