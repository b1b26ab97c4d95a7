/**
 * Delivery on a thread of its own (thread.ts): reading the log, handlers and sinks then take no time from requests. Each
 * delivery stands here as it would if it ran here.
 *
 * Invariants:
 *  - progress is written here, by the log, and segments are deleted here: how far a delivery is, is known here at any time;
 *  - the thread ending before it is told to ends the process: its error is thrown, uncaught.
 */
import { errorMonitor } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Config } from '../config.ts'
import type { ConfigFile } from '../config-file/load.ts'
import type { CheckedRoute } from '../delivery/route.ts'
import type { Log } from '../log/log.ts'
import { unpack } from '../sent-error.ts'
import type { Observer } from '../start-deliveries.ts'
import type { DeliveryState, FromThread, Request, ThreadStart, ToThread } from './messages.ts'
import { RemoteDelivery } from './remote-delivery.ts'

/** @throws what a delivery could not be opened for. */
export async function startDeliveryThread(
  config: Config,
  file: Pick<ConfigFile, 'path'>,
  routes: readonly Pick<CheckedRoute, 'name'>[],
  log: Log,
  observer: Observer,
): Promise<DeliveryThread> {
  const consumers = []
  for (const { name } of routes) consumers.push(await log.consumer(name))
  const shared = log.share?.()
  if (shared === undefined) throw new TypeError('this log is not one that a thread can read')
  const thread = new DeliveryThread({ config, configPath: file.path, log: shared }, observer)
  const states = await thread.opened
  for (const consumer of consumers) {
    const state = states.get(consumer.name) as DeliveryState
    const call = (request: Request) => thread.call(consumer.name, request)
    thread.deliveries.push(new RemoteDelivery({ consumer, state, call, endOffset: () => log.committedEvents }))
  }
  return thread
}

export class DeliveryThread {
  readonly deliveries: RemoteDelivery[] = []
  readonly #worker: Worker
  readonly #observer: Observer
  readonly #opened = Promise.withResolvers<ReadonlyMap<string, DeliveryState>>()
  readonly #ended = Promise.withResolvers<void>()
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>()
  #lastId = 0
  #isEnding = false

  constructor(start: ThreadStart, observer: Observer) {
    this.#observer = observer
    this.#worker = new Worker(new URL('./thread.ts', import.meta.url), {
      workerData: start,
      transferList: [start.log.port],
    })
    this.#worker.on('message', (message: FromThread) => this.#onMessage(message))
    let hasFailed = false
    this.#worker.once(errorMonitor, () => {
      hasFailed = true // and thrown, as nobody listens
    })
    this.#worker.once('exit', (code) => {
      this.#ended.resolve()
      if (!hasFailed && !this.#isEnding) throw new Error(`the thread of delivery ended with exit code ${code}`)
    })
  }

  get opened(): Promise<ReadonlyMap<string, DeliveryState>> {
    return this.#opened.promise
  }

  call(sink: string, request: Request): Promise<unknown> {
    const id = ++this.#lastId
    const answer = Promise.withResolvers<unknown>()
    this.#calls.set(id, answer)
    this.#post({ kind: 'call', id, sink, request })
    return answer.promise
  }

  /** When all of its deliveries are closed. */
  async close(): Promise<void> {
    this.#isEnding = true
    this.#post({ kind: 'end' })
    await this.#ended.promise
    await this.#worker.terminate()
  }

  #onMessage(message: FromThread): void {
    const { onDamage, onWarning, onFailure, onSinkFailure } = this.#observer
    switch (message.kind) {
      case 'opened':
        this.#opened.resolve(message.states)
        break
      case 'refused':
        void this.#refuse(unpack(message.error))
        break
      case 'state':
        this.deliveries.find(({ sink }) => sink === message.sink)?.update(message.state)
        break
      case 'answer':
        this.#callOf(message.id)?.resolve(message.value)
        break
      case 'failed':
        this.#callOf(message.id)?.reject(unpack(message.error))
        break
      case 'damage':
        onDamage(message.damage)
        break
      case 'warning':
        onWarning(message.message)
        break
      case 'logFailed':
        onFailure(unpack(message.error))
        break
      case 'sinkFailed':
        onSinkFailure(unpack(message.error))
        break
      case 'ended':
        this.#ended.resolve()
    }
  }

  async #refuse(error: Error): Promise<void> {
    this.#isEnding = true
    await this.#worker.terminate()
    this.#opened.reject(error)
  }

  #callOf(id: number): PromiseWithResolvers<unknown> | undefined {
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    return call
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message)
  }
}
