/**
 * The on-disk format, version 1. All integers are unsigned and little-endian. `crc32` is the one of zlib and PNG.
 *
 *     DATA_DIR/log/
 *       lock                          held by the one writer (kernel lock: a kill releases it)
 *       log.json                      identity and format version
 *       consumers.json                offset of every consumer with a checksum, replaced whole
 *       reserve                       space for consumers.json on a full disk
 *       00000000000000000000.seg      segment; the name is the offset of its first event
 *       00000000000000000000.idx      sparse index of a finished segment; not needed to read it
 *       quarantine/                   copies of bytes that failed their checksum
 *
 * Segment = one segment header, then groups back to back. One sync makes one group durable. Zeros after the last group
 * are space that the writer allocated but did not use.
 *
 *     segment header, 64 bytes             group header, 48 bytes
 *     at  size  field                      at  size  field
 *      0     8  "MILLRACE"                  0     4  "MRG1"
 *      8     2  version = 1                 4     4  crc32 of bytes 8..47 of this header
 *     10     2  header bytes = 64           8     4  crc32 of the payload
 *     12     4  crc32 of bytes 16..63      12     4  payload bytes
 *     16    16  log id (UUID)              16     4  events in the group
 *     32     8  base offset                20     4  flags: bits 0–1, see below
 *     40     8  created at, ms             24     8  base offset
 *     48    16  zero                       32     8  appended at, ms
 *                                          40     8  zero
 *                                          48     …  payload: the events, one JSON text a line, each ended by "\n"
 *
 * Bits 0 and 1 of the flags say what is known about the lines. 0: nothing; 1: each is an event; 2: each is a complete
 * CloudEvent and nothing else. A reader that does not know these flags checks each line, as for 0.
 *
 * The header has its own checksum, so that a damaged payload costs only its own group: length and count can still be
 * trusted. After a damaged header, the reader looks for the next valid one. It cannot mistake a payload for a header: a
 * valid header contains zero bytes, and JSON text never does.
 */
import { crc32 } from 'node:zlib'
import { Known } from '../../write.ts'

export const FORMAT_VERSION = 1
export const SEGMENT_HEADER_BYTES = 64
export const GROUP_HEADER_BYTES = 48

const SEGMENT_MAGIC = Buffer.from('MILLRACE')
export const GROUP_MAGIC = Buffer.from('MRG1')
/** The latest time that a Date can hold. */
const MAX_DATE_MS = 8.64e15
const KNOWN_BITS = 3
const GROUP_MAGIC_LE = GROUP_MAGIC.readUInt32LE(0)

export interface SegmentHeader {
  readonly version: number
  readonly logId: string
  readonly baseOffset: number
  readonly createdAtMs: number
}

export interface GroupHeader {
  readonly payloadCrc: number
  readonly payloadBytes: number
  readonly count: number
  readonly baseOffset: number
  readonly appendedAtMs: number
  readonly known: Known
}

export function encodeSegmentHeader(logId: string, baseOffset: number, createdAtMs: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  SEGMENT_MAGIC.copy(header, 0)
  header.writeUInt16LE(FORMAT_VERSION, 8)
  header.writeUInt16LE(SEGMENT_HEADER_BYTES, 10)
  Buffer.from(logId.replaceAll('-', ''), 'hex').copy(header, 16)
  header.writeBigUInt64LE(BigInt(baseOffset), 32)
  header.writeBigUInt64LE(BigInt(createdAtMs), 40)
  header.writeUInt32LE(crc32(header.subarray(16)), 12)
  return header
}

/** Undefined when the header is damaged or cut short; the groups after it may still be valid. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES || !bytes.subarray(0, 8).equals(SEGMENT_MAGIC)) return undefined
  if (bytes.readUInt32LE(12) !== crc32(bytes.subarray(16, SEGMENT_HEADER_BYTES))) return undefined
  const version = bytes.readUInt16LE(8)
  if (version !== FORMAT_VERSION) return { version, logId: '', baseOffset: 0, createdAtMs: 0 }
  const hex = bytes.toString('hex', 16, 32)
  return {
    version,
    logId: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    baseOffset: Number(bytes.readBigUInt64LE(32)),
    createdAtMs: Number(bytes.readBigUInt64LE(40)),
  }
}

/** Writes the header for the payload that is already in the buffer at `at + 48`. */
export function writeGroupHeader(
  bytes: Buffer,
  at: number,
  { payloadBytes, count, baseOffset, appendedAtMs, known }: Omit<GroupHeader, 'payloadCrc'>,
): void {
  const payloadAt = at + GROUP_HEADER_BYTES
  bytes.writeUInt32LE(GROUP_MAGIC_LE, at)
  bytes.writeUInt32LE(crc32(bytes.subarray(payloadAt, payloadAt + payloadBytes)), at + 8)
  bytes.writeUInt32LE(payloadBytes, at + 12)
  bytes.writeUInt32LE(count, at + 16)
  bytes.writeUInt32LE(known, at + 20)
  bytes.writeBigUInt64LE(BigInt(baseOffset), at + 24)
  bytes.writeBigUInt64LE(BigInt(appendedAtMs), at + 32)
  bytes.writeBigUInt64LE(0n, at + 40)
  bytes.writeUInt32LE(crc32(bytes.subarray(at + 8, payloadAt)), at + 4)
}

/** Undefined when the 48 bytes at `at` are not a valid group header. */
export function readGroupHeader(bytes: Buffer, at: number): GroupHeader | undefined {
  if (at + GROUP_HEADER_BYTES > bytes.length || bytes.readUInt32LE(at) !== GROUP_MAGIC_LE) return undefined
  if (bytes.readUInt32LE(at + 4) !== crc32(bytes.subarray(at + 8, at + GROUP_HEADER_BYTES))) return undefined
  const count = bytes.readUInt32LE(at + 16)
  const baseOffset = Number(bytes.readBigUInt64LE(at + 24))
  const appendedAtMs = Number(bytes.readBigUInt64LE(at + 32))
  // A valid checksum does not prove that a log wrote the header, so check the values, too.
  if (!Number.isSafeInteger(baseOffset + count) || appendedAtMs > MAX_DATE_MS) return undefined
  return {
    payloadCrc: bytes.readUInt32LE(at + 8),
    payloadBytes: bytes.readUInt32LE(at + 12),
    count,
    baseOffset,
    appendedAtMs,
    known: Math.min(bytes.readUInt32LE(at + 20) & KNOWN_BITS, Known.COMPLETE) as Known,
  }
}

const OFFSET_DIGITS = 20
const SEGMENT_NAME = /^(\d{20})\.seg$/

export function segmentName(baseOffset: number): string {
  return `${String(baseOffset).padStart(OFFSET_DIGITS, '0')}.seg`
}

export function indexName(baseOffset: number): string {
  return `${String(baseOffset).padStart(OFFSET_DIGITS, '0')}.idx`
}

/** Base offset in a segment's file name, or undefined for any other file. */
export function parseSegmentName(name: string): number | undefined {
  const offset = Number(SEGMENT_NAME.exec(name)?.[1])
  return Number.isSafeInteger(offset) ? offset : undefined
}
