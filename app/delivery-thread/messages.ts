/**
 * What the main thread and the thread of delivery say to each other.
 *
 *     (start) ─▶ opened | refused     call ─▶ answer | failed, of the same id     state, as it changes     end ─▶ ended
 *
 * What the two halves of the log say is apart, on a port of its own.
 */
import type { Config } from '../config.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Damage, SharedLog } from '../log/log.ts'
import type { SentError } from '../sent-error.ts'

export interface ThreadStart {
  readonly config: Config
  /** Of the config file, which the thread loads for itself. */
  readonly configPath: string | undefined
  readonly log: SharedLog
}

/** What only the thread knows of a delivery. */
const STATE_KEYS = [
  ...(['attempts', 'filteredTotal', 'replayedTotal', 'deadLettersPending'] as const),
  ...(['gatheredEvents', 'readErrorsTotal', 'failure'] as const),
]
export type DeliveryState = Pick<Delivery, (typeof STATE_KEYS)[number]>

export function stateOf(delivery: Delivery): DeliveryState {
  return Object.fromEntries(STATE_KEYS.map((key) => [key, delivery[key]])) as unknown as DeliveryState
}

/** A method of a delivery, with what it is given. */
export type Request =
  | { readonly method: 'deadLetters'; readonly limit: number }
  | { readonly method: 'replay' }
  /** Everything before `endOffset` is durable by now. */
  | { readonly method: 'close'; readonly drainMs: number; readonly endOffset: number }

export interface Call {
  readonly kind: 'call'
  readonly id: number
  readonly sink: string
  readonly request: Request
}

export type ToThread = Call | { readonly kind: 'end' }

export type FromThread =
  | { readonly kind: 'opened'; readonly states: ReadonlyMap<string, DeliveryState> }
  | { readonly kind: 'refused'; readonly error: SentError }
  | { readonly kind: 'state'; readonly sink: string; readonly state: DeliveryState }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: SentError }
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'damage'; readonly damage: Damage }
  | { readonly kind: 'sinkFailed' | 'logFailed'; readonly error: SentError }
  | { readonly kind: 'ended' }
