/**
 * The log makes events durable and gives them to consumers. One interface, two engines (embedded segment files, Kafka).
 * No code above the interface knows which engine runs.
 *
 *     append(batches) ─▶ one group, durable when it resolves ─▶ consumer.read() … consumer.commit(positions)
 *
 * An offset is the number of an event in its partition. Offsets increase and are never used twice. A group is a run of
 * events that became durable together. Only durable events are read, so a consumer never sees an event that a crash
 * could take back. The embedded log has one partition, 0. In Kafka, events with the same key are in the same partition.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Batch, Known, Lost } from '../write.ts'

/** Durable events as a consumer reads them. */
export interface Group {
  /** Identity of this partition of the log. It is part of the ids that the log gives to events without an id. */
  readonly logId: string
  readonly partition: number
  /** Offset of the first event. */
  readonly baseOffset: number
  /** Number of events. 0 only if everything before `baseOffset` is lost, up to the end of the log. */
  readonly count: number
  /** When the group was appended, milliseconds since the epoch. It becomes the `time` of events without one. */
  readonly appendedAtMs: number
  /** What is known about the lines. Default: nothing. */
  readonly known?: Known
  /** `count` lines, each ended by `\n`. Valid until the next `read` of the same consumer: copy data that you keep. */
  readonly payload: Buffer
}

/** Everything of a partition before `offset` is settled. */
export interface Position {
  readonly partition: number
  readonly offset: number
  /** Events since the last commit that were kept as dead letters, and events that were not readable. */
  readonly deadLettered: number
  readonly damaged: number
}

/** Settled events: in total (embedded), or by this process (Kafka). */
export interface Settled {
  readonly delivered: number
  readonly deadLettered: number
  /** Events that were skipped: lost to damage (checksum), or not readable. */
  readonly damaged: number
}

export interface Consumer {
  readonly name: string
  readonly settled: Settled
  /** Events that are durable in the log but not yet committed, in the partitions of this consumer. */
  readonly lagEvents: number
  /**
   * When the oldest of them was appended, or slightly earlier, milliseconds since the epoch; undefined when there are
   * none. It comes from the log itself, so it is right even if `read` fails.
   */
  readonly oldestAppendedAtMs: number | undefined
  /** Why some partitions cannot be read now, while the others are read. `errors`: how often that happened. */
  readonly failure: string | undefined
  readonly readErrors: number
  /** The first offset to read after a restart: everything before it is settled, durably. */
  committedOffset(partition: number): number
  /**
   * The next group. Waits at the end of the log; undefined once `signal` is aborted or the log is closed. A group
   * without events only moves the position past events that are lost at the end of the log. The first group of a
   * partition may begin before the committed offset: skip those events.
   */
  read(signal: AbortSignal): Promise<Group | undefined>
  /** Records what is settled; resolves once the record is durable. Positions never move back. */
  commit(positions: readonly Position[]): Promise<void>
  /** Set by the reader. Awaited before partitions go to another process, so that events in progress can be settled. */
  onRevoke: ((partitions: readonly number[]) => Promise<void>) | undefined
  close(): Promise<void>
}

export interface Log {
  /** Whether batches need keys. */
  readonly keyed: boolean
  /** Events made durable: in total (embedded), or by this process (Kafka). */
  readonly committedEvents: number
  /** Bytes on disk, and the share of the limit that retention could not free (0–1). Both 0 for Kafka. */
  readonly sizeBytes: number
  readonly fill: number
  /** Why the log accepts no writes now. */
  readonly failure: Error | undefined
  /**
   * Makes the batches durable as one group. One call at a time.
   * @returns the events that did not become durable, each with the reason; empty when all of them are.
   * @throws MillraceError when none of them became durable: LOG_FULL, DISK_FULL (a later append can succeed),
   *   LOG_FAILED (after a failed write or sync, the state of the file is unknown: no later append succeeds).
   */
  append(batches: readonly Batch[]): Promise<readonly Lost[]>
  /** Consumers of earlier runs that are not open now. Events that they have not read may be deleted. */
  readonly idleConsumers: readonly string[]
  /**
   * Lets one thread of this process read the log by itself: what {@link openSharedLog} opens there. Open its consumers here
   * before; they show how far it has come, and are not read here. undefined: other threads cannot read this log.
   */
  share?(): SharedLog
  /** Opens the consumer `name`; a new one begins at the first offset the log still holds. */
  consumer(name: string): Promise<Consumer>
  close(): Promise<void>
}

/** For the thread that reads: it can be posted there, together with its port. */
export interface SharedLog {
  /** Between the two halves of the log. */
  readonly port: MessagePort
  readonly id: string
  readonly directory: string
  readonly state: unknown
  readonly progress: unknown
}

/** What the log reports to its observer; all optional. */
export interface LogObserver {
  onSync?(durationMs: number, groupEvents: number): void
  onDamage?(damage: Damage): void
  onWarning?(message: string): void
  /** Called once, with the error that every later append will throw. */
  onFailure?(error: Error): void
}

/** A range of a segment that failed its checksum. Its bytes are copied to the quarantine directory. */
export interface Damage {
  readonly segment: string
  readonly position: number
  readonly bytes: number
  /** Events known to be lost with it; 0 when only a torn tail was cut off, which was never acknowledged. */
  readonly events: number
  readonly reason: string
}
