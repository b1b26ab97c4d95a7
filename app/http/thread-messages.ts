/**
 * Messages between the main thread and a thread of the public listener.
 *
 *     listen ─▶ listening | refused     group ─▶ settled, in the same order     close ─▶ closed
 *
 * No message is per request. A group is one payload, which is moved and not copied. Its answer is short, unless some of
 * its events were lost or were duplicates.
 */
import type { Config } from '../config.ts'
import type { MillraceError } from '../errors.ts'
import { type SentError, unpack } from '../sent-error.ts'
import { type Known, type Lost, NOTHING_LOST, type Write } from '../write.ts'
import type { CredentialSet } from './credentials.ts'
import type { SharedLimits } from './server.ts'

/** The data that a thread is started with. */
export interface ThreadStart {
  /** The configuration, with this thread's share of the capacities. */
  readonly config: Config
  readonly keyed: boolean
  readonly deduplicates: boolean
  readonly filesOfSinks: number
  readonly version: string
  readonly logLevel: string
  readonly traced: boolean
  readonly credentials: CredentialSet
  /** Memory of this thread's counts (counts.ts), and of the limits that all threads share. */
  readonly counts: SharedArrayBuffer
  readonly limits: SharedLimits
}

/** Writes of a thread that become durable together. */
export interface SentGroup {
  readonly kind: 'group'
  readonly payload: Uint8Array<ArrayBuffer>
  readonly count: number
  readonly known: Known
  /** The key of each event, if the log needs keys. */
  readonly keys: readonly string[] | undefined
  readonly identities: readonly (string | undefined)[] | undefined
}

/** The outcome of a group. A member is absent if there is nothing to report; places are indices in the group. */
export interface Outcome {
  readonly kind: 'settled'
  /** Set when no event of the group is durable. */
  readonly error?: SentError
  readonly lost?: readonly { readonly index: number; readonly error: SentError }[]
  readonly duplicates?: readonly number[]
}

export type ToThread =
  | { readonly kind: 'listen'; readonly host: string; readonly port: number }
  | { readonly kind: 'ready'; readonly notReady: string | undefined }
  | { readonly kind: 'credentials'; readonly credentials: CredentialSet }
  | { readonly kind: 'close' }
  | Outcome

export type FromThread =
  | { readonly kind: 'listening'; readonly url: string }
  | { readonly kind: 'refused'; readonly error: SentError }
  | { readonly kind: 'logged'; readonly line: string }
  | { readonly kind: 'closed' }
  | SentGroup

/** Tells each write of a group the outcome of its own events. */
export function settleGroup(group: readonly Write[], { error, lost = [], duplicates = [] }: Outcome): void {
  if (error) {
    const failure = unpack(error)
    for (const write of group) write.fail(failure)
    return
  }
  const losses = lost.toSorted((a, b) => a.index - b.index)
  let from = 0
  let atLoss = 0
  let atDuplicate = 0
  for (const write of group) {
    const end = from + write.count
    const ofWrite: Lost[] = []
    for (let loss = losses[atLoss]; loss && loss.index < end; loss = losses[++atLoss]) {
      ofWrite.push({ batch: 0, index: loss.index - from, error: unpack(loss.error) as MillraceError })
    }
    const firstDuplicate = atDuplicate
    while ((duplicates[atDuplicate] ?? end) < end) atDuplicate += 1
    if (atDuplicate > firstDuplicate) {
      const places = duplicates.slice(firstDuplicate, atDuplicate)
      write.duplicates = places.map((place) => place - from)
    }
    write.settle(ofWrite.length > 0 ? ofWrite : NOTHING_LOST)
    from = end
  }
}
