/** The main thread's half of a log that a thread reads: ./log-mirror.ts is the other one, and says what goes between. */
import { MessageChannel } from 'node:worker_threads'
import type { SharedLog } from '../log.ts'
import type { ConsumerStore } from './consumer-store.ts'
import type { ConsumerHost } from './embedded-consumer.ts'
import type { LogState, Progress, ToMain, ToMirror } from './log-mirror.ts'
import type { Segment } from './segments.ts'

type Await = Extract<ToMain, { kind: 'await' }>
type Settle = Extract<ToMain, { kind: 'settle' }>

/** @param segments as they are at any time. */
export function shareLog(log: ConsumerHost, store: ConsumerStore, segments: readonly Segment[]): SharedLog {
  const { port1: port, port2: theirs } = new MessageChannel()
  const closed = new AbortController()
  /** When later events were appended is known here. */
  const backlogEnd = log.endOffset
  const post = (message: ToMirror) => port.postMessage(message)
  const stateFrom = (first: number): LogState => ({
    endOffset: log.endOffset,
    segments: segments.filter(({ baseOffset }) => baseOffset >= first),
    isClosed: log.isClosed,
  })

  const answer = async ({ endOffset, fromSegment }: Await) => {
    const isKnown = () => log.endOffset === endOffset && segments.at(-1)?.baseOffset === fromSegment
    while (isKnown() && !log.isClosed && !closed.signal.aborted) await log.waitForAppend(closed.signal)
    post({ kind: 'state', state: stateFrom(fromSegment) })
  }
  const settle = async ({ id, name, progress, appendedAtMs }: Settle) => {
    try {
      if (appendedAtMs !== undefined && progress.offset < backlogEnd) log.noteAppended(progress.offset, appendedAtMs)
      await store.set(name, progress)
      await log.progressed()
      post({ kind: 'settled', id })
    } catch (error) {
      post({ kind: 'settled', id, error: error as Error })
    }
  }
  port.on('message', (message: ToMain) => {
    if (message.kind === 'await') void answer(message)
    else if (message.kind === 'settle') void settle(message)
    else log.reportDamage(message.damage)
  })
  port.once('close', () => closed.abort())
  port.unref()

  const progress: Progress = new Map(
    [...store.names].flatMap((name) => [[name, store.get(name)] as const]).filter(isSet),
  )
  return { port: theirs, id: log.id, directory: log.directory, state: stateFrom(0), progress }
}

function isSet<T>(entry: readonly [string, T | undefined]): entry is readonly [string, T] {
  return entry[1] !== undefined
}
