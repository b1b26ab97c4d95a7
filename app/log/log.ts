/**
 * The log: what makes events durable and hands them to consumers. One interface, two engines (embedded segment files,
 * Kafka); nothing above it knows which one runs.
 *
 *     append(batches) ─▶ one group, durable when it resolves ─▶ consumer.read() … consumer.commit(offset)
 *
 * An offset numbers one event; a group is what one append made durable. Offsets rise by one per event and are never
 * used twice. Only what is durable is ever read, so a consumer cannot see an event that a crash would take back.
 */

/** Encoded events: `count` JSON objects, one a line, separated by `\n`, no newline at the end, valid UTF-8. */
export interface Batch {
  readonly payload: Buffer
  /** At least 1. */
  readonly count: number
}

/** A durable group as a consumer reads it. */
export interface Group {
  /** Offset of its first event. */
  readonly baseOffset: number
  readonly count: number
  /** When it was appended, milliseconds since the epoch: the `time` of events that came without one. */
  readonly appendedAtMs: number
  /** `count` lines, each ended by `\n`. Valid until the next `read` of the same consumer: copy what must live longer. */
  readonly payload: Buffer
}

/** How far a consumer has come. `offset - startOffset = delivered + deadLettered + damaged`. */
export interface ConsumerProgress {
  /** Everything before it is settled: the first offset to read after a restart. */
  readonly offset: number
  /** Where the consumer began, when it was first seen. */
  readonly startOffset: number
  readonly deadLettered: number
  /** Events that were lost to damage (checksum) and stepped over. */
  readonly damaged: number
}

export interface Consumer {
  readonly name: string
  /** Durable progress: what a restart would see. */
  readonly progress: ConsumerProgress
  /** Events that are durable in the log and not yet committed by this consumer. */
  readonly lagEvents: number
  /**
   * The next group. Waits at the end of the log; undefined once `signal` is aborted or the log is closed.
   * The first group after a restart may begin before `progress.offset`: skip those events.
   */
  read(signal: AbortSignal): Promise<Group | undefined>
  /** Records that everything before `offset` is settled; resolves once that is durable. Never moves back. */
  commit(offset: number, deadLettered: number): Promise<void>
  close(): Promise<void>
}

export interface Log {
  /** Identity of this log, part of the ids it gives to events that came without one. */
  readonly id: string
  /** Offset of the next event: every durable event is below it. */
  readonly endOffset: number
  readonly firstOffset: number
  /** Bytes on disk, and the share of the limit that retention could not free (0–1). */
  readonly sizeBytes: number
  readonly fill: number
  /** Why the log takes no writes any more, if so: after that only a restart helps. */
  readonly failure: Error | undefined
  /**
   * Makes the batches durable as one group. One call at a time.
   * @throws MillraceError LOG_FULL, DISK_FULL (nothing of the group was kept, a later append can succeed),
   *   LOG_FAILED (a write or sync failed in a way that leaves the file in doubt: no later append succeeds).
   */
  append(batches: readonly Batch[]): Promise<void>
  /** Opens the consumer `name`; a new one begins at the first offset the log still holds. */
  consumer(name: string): Promise<Consumer>
  close(): Promise<void>
}

/** What the log tells whoever watches it; all optional. */
export interface LogObserver {
  onSync?(durationMs: number, groupEvents: number): void
  onDamage?(damage: Damage): void
  onWarning?(message: string): void
  /** Called once, with the error that every later append will throw. */
  onFailure?(error: Error): void
}

/** A stretch of a segment that failed its checksum; its bytes are copied to the quarantine directory. */
export interface Damage {
  readonly segment: string
  readonly position: number
  readonly bytes: number
  /** Events known to be lost with it; 0 when only a torn, never acknowledged tail was cut off. */
  readonly events: number
  readonly reason: string
}
