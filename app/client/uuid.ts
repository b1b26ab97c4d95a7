/**
 * Ids of events: UUIDs of version 7 (RFC 9562, section 5.7). They increase also within a millisecond, and when the
 * clock is set back.
 *
 *     time, 48 bits │ 7 │ counter, 12 bits │ variant, 2 bits │ random, 62 bits
 */

/** Random bytes for one id: eight in the id, two for the start of the counter. */
const RANDOM_BYTES = 10
/** Ids whose random bytes are drawn together, because one call of the generator costs as much as a hundred ids. */
const POOL_IDS = 128
const pool = new Uint8Array(RANDOM_BYTES * POOL_IDS)
let poolAt = pool.length

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const MAX_COUNTER = 0xfff
/** Each millisecond starts in the lower half of the counter, which leaves room to count up (section 6.2, method 1). */
const COUNTER_SEED_MASK = 0x7ff

let lastMs = 0
let counter = 0
/** First part of the id for `lastMs`, with the version. */
let head = ''

/** @param nowMs milliseconds since 1970. */
export function uuidv7(nowMs: number = Date.now()): string {
  if (poolAt === pool.length) {
    crypto.getRandomValues(pool)
    poolAt = 0
  }
  const at = poolAt
  poolAt += RANDOM_BYTES
  if (nowMs > lastMs) {
    counter = ((byteAt(at + 8) << 8) | byteAt(at + 9)) & COUNTER_SEED_MASK
    moveTo(nowMs)
  } else if (counter === MAX_COUNTER) {
    counter = 0
    moveTo(lastMs + 1)
  } else counter += 1
  const count = `${(counter >> 8).toString(16)}${HEX[counter & 0xff]}`
  const variant = HEX[0x80 | (byteAt(at) & 0x3f)]
  const node = `${hexAt(at + 2)}${hexAt(at + 3)}${hexAt(at + 4)}${hexAt(at + 5)}${hexAt(at + 6)}${hexAt(at + 7)}`
  return `${head}${count}-${variant}${hexAt(at + 1)}-${node}`
}

function moveTo(ms: number): void {
  lastMs = ms
  const time = ms.toString(16).padStart(12, '0')
  head = `${time.slice(0, 8)}-${time.slice(8)}-7`
}

function byteAt(index: number): number {
  return pool[index] as number
}

function hexAt(index: number): string {
  return HEX[byteAt(index)] as string
}
