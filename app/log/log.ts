/**
 * The log: what makes events durable and hands them to consumers. One interface, two engines (embedded segment files,
 * Kafka); nothing above it knows which one runs.
 *
 *     append(batches) ─▶ one group, durable when it resolves ─▶ consumer.read() … consumer.commit(positions)
 *
 * An offset numbers one event of a partition; a group is a run of them that became durable together. Offsets rise and
 * are never used twice. Only what is durable is ever read, so a consumer cannot see an event that a crash would take
 * back. The embedded log is one partition, 0; in Kafka, events with the same key are in the same one.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Batch, Known, Lost } from '../write.ts'

/** Durable events as a consumer reads them. */
export interface Group {
  /** Identity of this partition of the log, part of the ids it gives to events that came without one. */
  readonly logId: string
  readonly partition: number
  /** Offset of its first event. */
  readonly baseOffset: number
  /** 0 only where everything before `baseOffset` is lost, up to the end of the log. */
  readonly count: number
  /** When it was appended, milliseconds since the epoch: the `time` of events that came without one. */
  readonly appendedAtMs: number
  /** Default: nothing. */
  readonly known?: Known
  /** `count` lines, each ended by `\n`. Valid until the next `read` of the same consumer: copy what must live longer. */
  readonly payload: Buffer
}

/** Everything of a partition before `offset` is settled. */
export interface Position {
  readonly partition: number
  readonly offset: number
  /** Of the events since the last commit: given up and kept as dead letters; not readable as events. */
  readonly deadLettered: number
  readonly damaged: number
}

/** Events settled: ever (embedded), or by this process (Kafka). */
export interface Settled {
  readonly delivered: number
  readonly deadLettered: number
  /** Lost to damage (checksum), or not readable, and skipped. */
  readonly damaged: number
}

export interface Consumer {
  readonly name: string
  readonly settled: Settled
  /** Events that are durable in the log and not yet committed, in the partitions this consumer has. */
  readonly lagEvents: number
  /**
   * When the oldest of them was appended, milliseconds since the epoch, or a little before; undefined without any. Known from
   * the log, whatever becomes of `read`.
   */
  readonly oldestAppendedAtMs: number | undefined
  /** Why some of its partitions cannot be read now, where reading goes on with the others; and how often that was so. */
  readonly failure: string | undefined
  readonly readErrors: number
  /** The first offset to read after a restart: everything before it is settled, durably. */
  committedOffset(partition: number): number
  /**
   * The next group; one without events moves on past what is lost at the end. Waits at the end of the log; undefined once `signal` is aborted or the log is closed.
   * The first group of a partition may begin before its committed offset: skip those events.
   */
  read(signal: AbortSignal): Promise<Group | undefined>
  /** Records what is settled; resolves once that is durable. Never moves back. */
  commit(positions: readonly Position[]): Promise<void>
  /** Set by who reads: awaited before partitions go to another process, so that what is begun can be settled. */
  onRevoke: ((partitions: readonly number[]) => Promise<void>) | undefined
  close(): Promise<void>
}

export interface Log {
  /** Whether batches need keys. */
  readonly keyed: boolean
  /** Events made durable: ever (embedded), or by this process (Kafka). */
  readonly committedEvents: number
  /** Bytes on disk, and the share of the limit that retention could not free (0–1); 0 where it is not this machine's. */
  readonly sizeBytes: number
  readonly fill: number
  /** Why the log takes no writes now. */
  readonly failure: Error | undefined
  /**
   * Makes the batches durable as one group. One call at a time.
   * @returns the events that did not become durable, each with the reason; empty when all of them are.
   * @throws MillraceError when none of them is, for one reason: LOG_FULL, DISK_FULL (a later append can succeed),
   *   LOG_FAILED (a write or sync failed in a way that leaves the file in doubt: no later append succeeds).
   */
  append(batches: readonly Batch[]): Promise<readonly Lost[]>
  /** Consumers that were here before and are not opened now: what they have not taken may be deleted. */
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

/** A stretch of a segment that failed its checksum; its bytes are copied to the quarantine directory. */
export interface Damage {
  readonly segment: string
  readonly position: number
  readonly bytes: number
  /** Events known to be lost with it; 0 when only a torn, never acknowledged tail was cut off. */
  readonly events: number
  readonly reason: string
}
