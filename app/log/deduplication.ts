/**
 * Which of the events to be stored are in the log already: knows the identities of the last `events` events that were stored.
 *
 *     group ─sift─▶ batches without what is known ─append─▶ durable ─keep─▶ known from now on
 *
 * Invariants:
 *  - an identity is known only once its event is durable: after a failed append nothing of that group is;
 *  - asked and told by group commit alone, one group at a time, so that no two requests can slip through together;
 *  - memory is fixed: 16 bytes an event, and a hash table of 8 to 16 (open addressing, linear probing). A million takes 23 MiB.
 *
 * What is kept of an identity is 128 bits of its SHA-256: nobody can make an event that is taken for somebody else's.
 */
import { hash } from 'node:crypto'
import type { Batch, Identified } from '../write.ts'

export interface Sifted {
  /** What is to be stored; batches of which nothing is left are not among them. */
  readonly batches: readonly Batch[]
  /** To be called once they are durable. */
  keep(): void
}

/** 32-bit words of one digest. */
const WORDS = 4
const NEWLINE = 0x0a
const EMPTY = -1

export class DeduplicationWindow {
  /** The last digests; the next one goes to `#next`, over the oldest once it is full. */
  readonly #ring: Int32Array
  readonly #capacity: number
  #next = 0
  #size = 0
  /** Places in the ring, at the hash of what is there. */
  readonly #table: Int32Array
  readonly #mask: number

  /** @param events how many it knows, at least 1. */
  constructor(events: number) {
    this.#capacity = events
    this.#ring = new Int32Array(events * WORDS)
    // At most half full, so that a search is short.
    this.#table = new Int32Array(2 ** Math.ceil(Math.log2(2 * events))).fill(EMPTY)
    this.#mask = this.#table.length - 1
  }

  /** Number of identities it knows, and what it takes. */
  get size(): number {
    return this.#size
  }
  get bytes(): number {
    return this.#ring.byteLength + this.#table.byteLength
  }

  /** Leaves out of `group` what is known, or twice in it, and lists that in {@link Identified.duplicates}. */
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

  /** Makes it known, and for that the oldest forgotten. */
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

  /** Where in the table a search for it begins: any bits of a digest are as good a hash as others. */
  #home(place: number): number {
    return (this.#ring[place * WORDS] as number) & this.#mask
  }

  /** Slot of the table, or EMPTY. */
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

  /** Takes one out and moves up what stands behind it (Knuth, The Art of Computer Programming 3, 6.4, algorithm R). */
  #forget(place: number): void {
    let hole = this.#find(this.#ring.subarray(place * WORDS, (place + 1) * WORDS))
    for (let slot = hole; ; ) {
      slot = (slot + 1) & this.#mask
      const moved = this.#table[slot] as number
      if (moved === EMPTY) break
      // One whose search begins behind the hole is found from there: it stays.
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

/** @param known places of lines, rising. */
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
