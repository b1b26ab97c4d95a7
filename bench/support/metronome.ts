/**
 * A thread that signals when a request is due. A timer of an event loop is up to a millisecond late, which would be
 * most of the measured latency. A thread that waits on memory wakes within some ten microseconds.
 */
import { parentPort, workerData } from 'node:worker_threads'

export interface Beat {
  /** On the clock of `process.hrtime`, which threads share. Milliseconds. */
  readonly startAtMs: number
  readonly intervalMs: number
  readonly count: number
}

export function clockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** In a worker: a message each time that something is due, then the end. */
function beat({ startAtMs, intervalMs, count }: Beat): void {
  const never = new Int32Array(new SharedArrayBuffer(4))
  for (let at = 0; at < count; at++) {
    const waitMs = startAtMs + at * intervalMs - clockMs()
    if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs)
    parentPort?.postMessage(undefined)
  }
}

if (parentPort !== null && (workerData as Partial<Beat> | null)?.intervalMs !== undefined) beat(workerData as Beat)
