/**
 * Finds duplicates among the events to store: it knows the identities of the last `events` events in the log.
 *
 *     group ─sift─▶ batches without duplicates ─append─▶ durable ─keep─▶ known from now on
 *
 * Invariants:
 *
 * - An identity becomes known only once its event is durable. After a failed append, no event of that group is known.
 * - Only group commit uses it, one group at a time, so two requests cannot store the same event at the same time.
 * - Memory is fixed. An event takes 16 bytes, and 8 to 16 bytes in a hash table (open addressing, linear probing). A
 *   million events take 23 MiB.
 *
 * It stores 128 bits of the SHA-256 of an identity. So a client cannot make an event that counts as a duplicate of an
 * event with another identity.
 */
import { hash } from 'node:crypto'
import type { Batch, Identified } from '../write.ts'

export interface Sifted {
  /** The batches to store, without duplicates and without empty batches. */
  readonly batches: readonly Batch[]
  /** Makes their events known. Call it once they are durable. */
  keep(): void
}

/** 32-bit words of one digest. */
const WORDS = 4
const NEWLINE = 0x0a
const EMPTY = -1

export class DeduplicationWindow {
  /** The last digests. The next one is written at `#next`; once the ring is full, it replaces the oldest. */
  readonly #ring: Int32Array
  readonly #capacity: number
  #next = 0
  #size = 0
  /** Hash table: digest → place in the ring. */
  readonly #table: Int32Array
  readonly #mask: number

  /** @param events how many identities it keeps, at least 1. */
  constructor(events: number) {
    this.#capacity = events
    this.#ring = new Int32Array(events * WORDS)
    // The table is at most half full, so that a search is short.
    this.#table = new Int32Array(2 ** Math.ceil(Math.log2(2 * events))).fill(EMPTY)
    this.#mask = this.#table.length - 1
  }

  /** Number of known identities. */
  get size(): number {
    return this.#size
  }
  get bytes(): number {
    return this.#ring.byteLength + this.#table.byteLength
  }

  /** Removes known events and repeats from `group`, and lists them in {@link Identified.duplicates}. */
  sift(group: readonly Identified[]): Sifted {
    const batches: Batch[] = []
    const fresh = new Map<string, Int32Array>()
    for (const batch of group) {
      const places: number[] = []
      for (const [at, identity] of (batch.identities ?? []).entries()) {
        if (identity === undefined) continue
        const digest = digestOf(identity)
        if (fresh.has(identity) || this.#find(digest) !== EMPTY) places.push(at)
        else fresh.set(identity, digest)
      }
      batch.duplicates = places
      const count = batch.count - places.length
      if (places.length === 0) batches.push(batch)
      else if (count > 0) batches.push({ payload: withoutLines(batch.payload, places), count, known: batch.known })
    }
    return {
      batches,
      keep: () => {
        for (const digest of fresh.values()) this.#add(digest)
      },
    }
  }

  has(identity: string): boolean {
    return this.#find(digestOf(identity)) !== EMPTY
  }

  /** Makes an identity known. When the ring is full, the oldest one is forgotten. */
  add(identity: string): void {
    const digest = digestOf(identity)
    if (this.#find(digest) === EMPTY) this.#add(digest)
  }

  #add(digest: Int32Array): void {
    const place = this.#next
    if (this.#size === this.#capacity) this.#forget(place)
    else this.#size += 1
    this.#ring.set(digest, place * WORDS)
    let slot = this.#home(place)
    while (this.#table[slot] !== EMPTY) slot = (slot + 1) & this.#mask
    this.#table[slot] = place
    this.#next = (place + 1) % this.#capacity
  }

  /** The slot at which a search begins. A digest is random, so any of its bits serve as the hash. */
  #home(place: number): number {
    return (this.#ring[place * WORDS] as number) & this.#mask
  }

  /** Slot of the digest in the table, or EMPTY. */
  #find(digest: Int32Array): number {
    let slot = (digest[0] as number) & this.#mask
    for (;;) {
      const place = this.#table[slot] as number
      if (place === EMPTY) return EMPTY
      let word = 0
      while (word < WORDS && this.#ring[place * WORDS + word] === digest[word]) word += 1
      if (word === WORDS) return slot
      slot = (slot + 1) & this.#mask
    }
  }

  /** Removes an entry and moves later ones up (Knuth, The Art of Computer Programming 3, 6.4, algorithm R). */
  #forget(place: number): void {
    let hole = this.#find(this.#ring.subarray(place * WORDS, (place + 1) * WORDS))
    for (let slot = hole; ; ) {
      slot = (slot + 1) & this.#mask
      const moved = this.#table[slot] as number
      if (moved === EMPTY) break
      // An entry whose search begins after the hole is still found: it stays.
      if (((slot - this.#home(moved)) & this.#mask) < ((slot - hole) & this.#mask)) continue
      this.#table[hole] = moved
      hole = slot
    }
    this.#table[hole] = EMPTY
  }
}

function digestOf(identity: string): Int32Array {
  const bytes = hash('sha256', identity, 'buffer')
  const digest = new Int32Array(WORDS)
  for (let word = 0; word < WORDS; word++) digest[word] = bytes.readInt32LE(word * Int32Array.BYTES_PER_ELEMENT)
  return digest
}

/** @param known indices of the lines to remove, ascending. */
function withoutLines(payload: Buffer, known: readonly number[]): Buffer {
  const kept: Buffer[] = []
  for (let line = 0, at = 0, from = 0; from <= payload.length; line++) {
    const newline = payload.indexOf(NEWLINE, from)
    const end = newline === -1 ? payload.length : newline
    if (line === known[at]) at += 1
    else kept.push(payload.subarray(from, end + 1))
    from = end + 1
  }
  const lines = Buffer.concat(kept)
  return lines.at(-1) === NEWLINE ? lines.subarray(0, -1) : lines
}
