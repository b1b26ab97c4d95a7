/**
 * How much each client has used of its limits, in memory that all threads of the public listener share. So n threads
 * together grant as much as one would, whichever thread serves a connection.
 *
 *     lock │ key, expiresAtMs, used │ key, expiresAtMs, used │ …       a client is within PROBES cells of its home
 *
 * Invariants:
 *
 * - One thread at a time reads and writes a cell, for less than a microsecond. Other threads wait.
 * - An expired cell means the same as a missing one, so cells are never removed.
 * - The size is fixed. Without room, the client whose cell would expire first is forgotten and starts again.
 */
import { hash } from 'node:crypto'
import { BURST_SECONDS, overQuota, tooManyAtOnce } from './quota.ts'

const CELLS = 16_384
const PROBES = 16
/** Indices of the numbers in a cell. */
const KEY = 0
const EXPIRES_AT_MS = 1
const USED = 2
const WIDTH = 3
/** The lock takes the space of one number, so that the numbers after it are aligned. */
const LOCK_BYTES = Float64Array.BYTES_PER_ELEMENT
const FREE = 0
const HELD = 1
/** Check the lock again after this time: the system may have suspended the thread that holds it. */
const LOCK_WAIT_MS = 1

/** Memory for the clients of one limit. */
export function limitMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(LOCK_BYTES + CELLS * WIDTH * Float64Array.BYTES_PER_ELEMENT)
}

class Table {
  readonly #lock: Int32Array
  readonly #cells: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.#lock = new Int32Array(memory, 0, 1)
    this.#cells = new Float64Array(memory, LOCK_BYTES)
  }

  /** @param use gets the cell of `client` while no other thread can access it; must not throw. */
  change<T>(client: string, nowMs: number, use: (cell: Float64Array) => T): T {
    const key = hash('sha256', client, 'buffer').readUIntBE(0, 6) + 1 // 0 marks an empty cell
    while (Atomics.compareExchange(this.#lock, 0, FREE, HELD) !== FREE) Atomics.wait(this.#lock, 0, HELD, LOCK_WAIT_MS)
    const result = use(this.#find(key, nowMs))
    Atomics.store(this.#lock, 0, FREE)
    Atomics.notify(this.#lock, 0, 1)
    return result
  }

  #find(key: number, nowMs: number): Float64Array {
    let first = this.#cell(key)
    for (let probe = 0; probe < PROBES; probe++) {
      const cell = this.#cell(key + probe)
      if (cell[KEY] === key) {
        if ((cell[EXPIRES_AT_MS] as number) <= nowMs) cell.set([key, nowMs, 0])
        return cell
      }
      if ((cell[EXPIRES_AT_MS] as number) < (first[EXPIRES_AT_MS] as number)) first = cell
    }
    first.set([key, nowMs, 0])
    return first
  }

  #cell(place: number): Float64Array {
    const at = (place % CELLS) * WIDTH
    return this.#cells.subarray(at, at + WIDTH)
  }
}

/** A clock that is the same in all threads. */
function now(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** The same as Quota (quota.ts). It stores only the time at which a bucket will be full again. */
export class SharedQuota {
  readonly #table: Table
  readonly #eventsPerSecond: number

  constructor(eventsPerSecond: number, memory: SharedArrayBuffer) {
    this.#table = new Table(memory)
    this.#eventsPerSecond = eventsPerSecond
  }

  /** @throws MillraceError OVER_QUOTA, TOO_MANY_EVENTS. */
  take(client: string, events: number, nowMs: number = now()): void {
    const perSecond = this.#eventsPerSecond
    if (events > perSecond * BURST_SECONDS) throw tooManyAtOnce(events, perSecond)
    const taken = this.#table.change(client, nowMs, (cell) => {
      const fullAtMs = Math.max(nowMs, cell[EXPIRES_AT_MS] as number) + (1000 * events) / perSecond
      // Allow for rounding errors, so that a bucket that holds exactly enough passes.
      if (fullAtMs - nowMs > 1000 * BURST_SECONDS + 1e-6) return false
      cell[EXPIRES_AT_MS] = fullAtMs
      return true
    })
    if (!taken) throw overQuota(perSecond)
  }

  giveBack(client: string, events: number, nowMs: number = now()): void {
    this.#table.change(client, nowMs, (cell) => {
      cell[EXPIRES_AT_MS] = Math.max(nowMs, (cell[EXPIRES_AT_MS] as number) - (1000 * events) / this.#eventsPerSecond)
    })
  }
}

type Incremented = (error: Error | null, result?: { current: number; ttl: number }) => void

/** A store for @fastify/rate-limit: counts requests in a window that begins with a client's first request. */
export function sharedStore(memory: SharedArrayBuffer) {
  const table = new Table(memory)
  return class Store {
    incr(client: string, done: Incremented, windowMs: number): void {
      const nowMs = now()
      const result = table.change(client, nowMs, (cell) => {
        if (cell[USED] === 0) cell[EXPIRES_AT_MS] = nowMs + windowMs
        const current = (cell[USED] as number) + 1
        cell[USED] = current
        return { current, ttl: (cell[EXPIRES_AT_MS] as number) - nowMs }
      })
      done(null, result)
    }

    child(): Store {
      return this
    }
  }
}
