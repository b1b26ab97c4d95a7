/**
 * The counts of the public listener, and of each thread that serves it. They are plain numbers in shared memory. Only
 * their own thread writes them; the main thread reads them at a scrape. So a count costs an addition and no message.
 *
 *     place   0         1          2               3              4 …          4 + n …      4 + 2n …
 *           ┌──────────┬──────────┬───────────────┬──────────────┬────────────┬────────────┬──────────────────┐
 *           │ received │ inFlight │ waitingEvents │ waitingBytes │ rejected   │ refused    │ write durations  │
 *           └──────────┴──────────┴───────────────┴──────────────┴─ by reason ┴─ by reason ┴─ buckets and sum ┘
 *
 * After these, for each hook, the requests by result.
 *
 * Each number has 8 bytes at a multiple of 8. A 64-bit machine writes it at once, so a reader sees the old or the new
 * value, never a mixture.
 */
import { PlainHistogram } from './histogram.ts'
import {
  HOOK_RESULTS,
  type HookResult,
  MAX_HOOKS,
  REASONS,
  type RefuseReason,
  type RejectReason,
  WRITE_BUCKETS_SECONDS,
} from './metrics-contract.ts'

/** The counts of the public listener. */
export interface Counts {
  /** Events that wait in the channel or for their sync. */
  inFlight: number
  readonly writeDuration: Pick<PlainHistogram, 'observe'>
  received(events: number): void
  reject(reason: RejectReason, events: number): void
  refuseRequest(reason: RefuseReason): void
  /** @param place index of the hook among the declared ones, 0 to MAX_HOOKS - 1. */
  hookRequest(place: number, result: HookResult): void
}

const RECEIVED = 0
const IN_FLIGHT = 1
const WAITING_EVENTS = 2
const WAITING_BYTES = 3
const REJECTED = 4
const REFUSED = REJECTED + REASONS.length
const DURATIONS = REFUSED + REASONS.length
const HOOKS = DURATIONS + PlainHistogram.cells(WRITE_BUCKETS_SECONDS)
const PLACES = HOOKS + MAX_HOOKS * HOOK_RESULTS.length
const PLACE_OF = new Map<string, number>(REASONS.map((reason, at) => [reason, at]))

export class ThreadCounts implements Counts {
  readonly memory: SharedArrayBuffer
  readonly writeDuration: PlainHistogram
  readonly #places: Float64Array

  /** @param memory the memory to read and write. Default: new memory, all 0. */
  constructor(memory = new SharedArrayBuffer(PLACES * Float64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory
    this.#places = new Float64Array(memory)
    const cells = this.#places.subarray(DURATIONS, HOOKS)
    this.writeDuration = new PlainHistogram(
      { name: '', help: '', buckets: WRITE_BUCKETS_SECONDS, registers: [] },
      cells,
    )
  }

  get inFlight(): number {
    return this.#read(IN_FLIGHT)
  }
  set inFlight(events: number) {
    this.#places[IN_FLIGHT] = events
  }

  received(events: number): void {
    this.#add(RECEIVED, events)
  }

  reject(reason: RejectReason, events: number): void {
    this.#add(REJECTED + (PLACE_OF.get(reason) as number), events)
  }

  refuseRequest(reason: RefuseReason): void {
    this.#add(REFUSED + (PLACE_OF.get(reason) as number), 1)
  }

  hookRequest(place: number, result: HookResult): void {
    this.#add(placeOf(place, result), 1)
  }

  hookRequestsTotal(place: number, result: HookResult): number {
    return this.#read(placeOf(place, result))
  }

  /** Sets what waits in the channel of the thread. */
  wait(events: number, bytes: number): void {
    this.#places[WAITING_EVENTS] = events
    this.#places[WAITING_BYTES] = bytes
  }

  get waitingEvents(): number {
    return this.#read(WAITING_EVENTS)
  }

  get waitingBytes(): number {
    return this.#read(WAITING_BYTES)
  }

  get receivedTotal(): number {
    return this.#read(RECEIVED)
  }

  rejectedTotal(): Map<string, number> {
    return this.#byReason(REJECTED)
  }

  refusedRequestsTotal(): Map<string, number> {
    return this.#byReason(REFUSED)
  }

  #byReason(from: number): Map<string, number> {
    const counted = REASONS.map((reason, at): [string, number] => [reason, this.#read(from + at)])
    return new Map(counted.filter(([, count]) => count > 0))
  }

  #read(place: number): number {
    return this.#places[place] as number
  }

  #add(place: number, more: number): void {
    this.#places[place] = (this.#places[place] as number) + more
  }
}

function placeOf(hook: number, result: HookResult): number {
  return HOOKS + hook * HOOK_RESULTS.length + HOOK_RESULTS.indexOf(result)
}
