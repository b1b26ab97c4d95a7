/** Ids of events: UUIDs of version 7 (RFC 9562, section 5.7), rising also within a millisecond and when the clock steps back. */

/** Eight are in the id, two begin the counter. */
const RANDOM_BYTES = 10
/** Drawn together: one call of the generator costs as much as a hundred ids. */
const POOL_IDS = 128
const pool = new Uint8Array(RANDOM_BYTES * POOL_IDS)
let poolAt = pool.length

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const MAX_COUNTER = 0xfff
/** A new millisecond begins in the lower half of the counter, so that there is room above (section 6.2, method 1). */
const COUNTER_SEED_MASK = 0x7ff

let lastMs = 0
let counter = 0

/** @param nowMs milliseconds since 1970. */
export function uuidv7(nowMs: number = Date.now()): string {
  if (poolAt === pool.length) {
    crypto.getRandomValues(pool)
    poolAt = 0
  }
  const at = poolAt
  poolAt += RANDOM_BYTES
  if (nowMs > lastMs) {
    lastMs = nowMs
    counter = ((byteAt(at + 8) << 8) | byteAt(at + 9)) & COUNTER_SEED_MASK
  } else if (counter === MAX_COUNTER) {
    lastMs += 1
    counter = 0
  } else counter += 1
  const time = lastMs.toString(16).padStart(12, '0')
  const variant = 0x80 | (byteAt(at) & 0x3f)
  let node = ''
  for (let index = at + 2; index < at + 8; index++) node += HEX[byteAt(index)]
  const high = HEX[variant] as string
  const low = HEX[byteAt(at + 1)] as string
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${high}${low}-${node}`
}

function byteAt(index: number): number {
  return pool[index] as number
}
