/**
 * The embedded log as a thread sees it that only reads: it opens the segment files itself, and learns by messages how far
 * they are durable. Progress goes to the main thread, which alone writes it and deletes segments. ./share.ts is the other
 * half.
 *
 *     consumer.read ─at the end─▶ await ─▶ main thread ─▶ state: what has become durable since
 *     consumer.commit ─▶ settle ─▶ main thread, durable ─▶ settled
 *
 * Invariants: what it knows of the log is never ahead of what is durable; a message a wait, not one an event or a group.
 */
import type { MessagePort } from 'node:worker_threads'
import { AppendTimes } from '../append-times.ts'
import type { Damage, SharedLog } from '../log.ts'
import type { ConsumerProgress, ProgressStore } from './consumer-store.ts'
import { type ConsumerHost, EmbeddedConsumer } from './embedded-consumer.ts'
import { nodeFiles } from './files.ts'
import type { Segment } from './segments.ts'
import { Waiters } from './waiters.ts'

/** How far the log is durable: its segments from the one that was asked for on. */
export interface LogState {
  readonly endOffset: number
  readonly segments: readonly Segment[]
  readonly isClosed: boolean
}

export type ToMain =
  | { readonly kind: 'await'; readonly endOffset: number; readonly fromSegment: number }
  | {
      readonly kind: 'settle'
      readonly id: number
      readonly name: string
      readonly progress: ConsumerProgress
      /** Of the event at its offset, as far as it is known here. */
      readonly appendedAtMs: number | undefined
    }
  | { readonly kind: 'damage'; readonly damage: Damage }

export type ToMirror =
  | { readonly kind: 'state'; readonly state: LogState }
  | { readonly kind: 'settled'; readonly id: number; readonly error?: Error }

export type Progress = ReadonlyMap<string, ConsumerProgress>

export class LogMirror implements ConsumerHost, ProgressStore {
  readonly id: string
  readonly directory: string
  readonly files = nodeFiles
  readonly #port: MessagePort
  readonly #progress: Map<string, ConsumerProgress>
  readonly #times = new AppendTimes()
  readonly #changed = new Waiters()
  readonly #consumers: EmbeddedConsumer[] = []
  readonly #settling = new Map<number, PromiseWithResolvers<void>>()
  #segments: Segment[]
  #endOffset: number
  #isClosed = false
  #awaits = false
  #lastId = 0

  constructor({ port, id, directory, state, progress }: SharedLog) {
    this.id = id
    this.directory = directory
    this.#port = port
    this.#progress = new Map(progress as Progress)
    const { endOffset, segments } = state as LogState
    this.#endOffset = endOffset
    this.#segments = [...segments]
    port.on('message', (message: ToMirror) => {
      if (message.kind === 'state') this.#update(message.state)
      else this.#settled(message)
    })
  }

  async consumer(name: string): Promise<EmbeddedConsumer> {
    const consumer = new EmbeddedConsumer(name, this, this)
    this.#consumers.push(consumer)
    return consumer
  }

  /** Resolves once it knows that everything before `offset` is durable, which it is. */
  async untilDurable(offset: number): Promise<void> {
    const { signal } = new AbortController()
    while (this.#endOffset < offset && !this.#isClosed) await this.waitForAppend(signal)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#changed.wake()
    for (const consumer of this.#consumers) await consumer.close()
    this.#port.close()
  }

  // For its consumers

  get endOffset(): number {
    return this.#endOffset
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  segmentFor(offset: number): Segment {
    const found = this.#segments.findLast(({ baseOffset }) => baseOffset <= offset) ?? this.#segments[0]
    if (found === undefined) throw new Error('a log always has a segment')
    return found
  }

  segmentAfter(segment: Segment): Segment | undefined {
    return this.#segments.find(({ baseOffset }) => baseOffset > segment.baseOffset)
  }

  appendedAtMs(offset: number): number {
    return this.#times.at(offset) ?? this.segmentFor(offset).lastAppendedAtMs
  }

  noteAppended(offset: number, atMs: number): void {
    this.#times.add(offset, atMs)
  }

  async waitForAppend(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#isClosed) return
    if (!this.#awaits) {
      const fromSegment = this.#segments.at(-1)?.baseOffset ?? 0
      this.#post({ kind: 'await', endOffset: this.#endOffset, fromSegment })
    }
    this.#awaits = true
    await this.#changed.wait(signal)
  }

  reportDamage(damage: Damage): void {
    this.#post({ kind: 'damage', damage })
  }

  /** The main thread deletes. */
  async progressed(): Promise<void> {}

  get(name: string): ConsumerProgress | undefined {
    return this.#progress.get(name)
  }

  async set(name: string, progress: ConsumerProgress): Promise<void> {
    const id = ++this.#lastId
    const settled = Promise.withResolvers<void>()
    this.#settling.set(id, settled)
    this.#post({ kind: 'settle', id, name, progress, appendedAtMs: this.#times.at(progress.offset) })
    await settled.promise
    this.#progress.set(name, progress)
    this.#times.forget(this.#settledOffset)
  }

  // What the main thread says

  #settled({ id, error }: Extract<ToMirror, { kind: 'settled' }>): void {
    const settled = this.#settling.get(id)
    this.#settling.delete(id)
    if (error === undefined) settled?.resolve()
    else settled?.reject(error)
  }

  #update({ endOffset, segments, isClosed }: LogState): void {
    this.#awaits = false
    this.#endOffset = endOffset
    for (const segment of segments) {
      const known = this.#segments.find(({ baseOffset }) => baseOffset === segment.baseOffset)
      if (known) Object.assign(known, segment)
      else this.#segments.push(segment)
    }
    if (segments.length > 1) this.#forgetSettled()
    this.#isClosed ||= isClosed
    this.#changed.wake()
  }

  /** Segments before the one that the slowest consumer goes on in. */
  #forgetSettled(): void {
    const { baseOffset: first } = this.segmentFor(this.#settledOffset)
    this.#segments = this.#segments.filter(({ baseOffset }) => baseOffset >= first)
  }

  /** Of the consumers here: one in the store that nobody opened would keep every segment in this list. */
  get #settledOffset(): number {
    return Math.min(...this.#consumers.map(({ progress }) => progress.offset))
  }

  #post(message: ToMain): void {
    this.#port.postMessage(message)
  }
}
