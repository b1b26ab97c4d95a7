/** How many items a second go through the channel, by the way they are received and the number of senders, beside Tokio's. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { channel, type Receiver, type Sender } from '../app/channel/channel.ts'
import { tokioChannel } from './peers/peers.ts'
import type { Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { progress } from './support/progress.ts'
import { type Case, takeTurns } from './support/rounds.ts'

const CAPACITY = 1024
const ITEMS = 2_000_000
const ITEM = { id: 1 }
type Item = typeof ITEM

/** Fills the channel without waiting, drains it, and so on. */
function alternating(producers: number, drain: (receiver: Receiver<Item>) => Promise<number>): Case {
  return async (operations) => {
    const { sender, receiver } = channel<Item>(CAPACITY)
    const senders: Sender<Item>[] = [sender, ...Array.from({ length: producers - 1 }, () => sender.clone())]
    let done = 0
    while (done < operations) {
      let at = 0
      while (senders[at]?.trySend(ITEM) === 'sent') at = (at + 1) % producers
      done += await drain(receiver)
    }
    return done
  }
}

/** Producers that wait for room, a receiver that waits for items: every item takes part in the waiting. */
function waiting(producers: number): Case {
  return async (operations) => {
    const { sender, receiver } = channel<Item>(CAPACITY)
    const each = Math.ceil(operations / producers)
    const produce = async (own: Sender<Item>) => {
      for (let at = 0; at < each; at++) await own.send(ITEM)
      own.close()
    }
    const producing = Array.from({ length: producers }, () => produce(sender.clone()))
    sender.close()
    const out: Item[] = []
    let done = 0
    for (let got = await receiver.recvMany(out, CAPACITY); got > 0; got = await receiver.recvMany(out, CAPACITY)) {
      done += got
      out.length = 0
    }
    await Promise.all(producing)
    return done
  }
}

const out: Item[] = []
const cases: Readonly<Record<string, Case>> = {
  'Millrace recv, 1 producer': alternating(1, async (receiver) => {
    let count = 0
    for (; receiver.length > 0; count++) await receiver.recv()
    return count
  }),
  'Millrace tryRecv, 1 producer': alternating(1, async (receiver) => {
    let count = 0
    while (receiver.tryRecv() !== undefined) count += 1
    return count
  }),
  'Millrace recvMany, 1 producer': alternating(1, (receiver) => {
    out.length = 0
    return receiver.recvMany(out, CAPACITY)
  }),
  'Millrace recvMany, 4 producers': alternating(4, (receiver) => {
    out.length = 0
    return receiver.recvMany(out, CAPACITY)
  }),
  'Millrace await send → recvMany, 1 producer': waiting(1),
  'Millrace await send → recvMany, 4 producers': waiting(4),
}

interface TokioLine {
  readonly setup: 'alternating' | 'waiting'
  readonly producers: number
  readonly mode: 'recv' | 'recv_many'
  readonly runtime: 'current_thread' | 'multi_thread'
  readonly itemsPerSecond: number
}

/** The same cases with Tokio, a figure each. */
async function tokio(items: number): Promise<{ subject: string; itemsPerSecond: number }[]> {
  const { command, args } = tokioChannel.command(items, CAPACITY, 1)
  const { stdout } = await promisify(execFile)(command, args)
  const lines: TokioLine[] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  return lines.map(({ setup, producers, mode, runtime, itemsPerSecond }) => ({
    subject: tokioSubject(`${setup === 'waiting' ? 'await send → ' : ''}${mode}`, producers, runtime),
    itemsPerSecond,
  }))
}

function tokioSubject(what: string, producers: number, runtime: TokioLine['runtime']): string {
  const threads = runtime === 'current_thread' ? 'one thread' : 'all threads'
  return `Tokio ${what}, ${producers} producer${producers === 1 ? '' : 's'}, ${threads}`
}

const target = (producers: number, name: string) =>
  ({
    key: `channel-${producers}`,
    measure: 'itemsPerSecond',
    of: name,
    to: tokioSubject('recv_many', producers, 'current_thread'),
    bound: { atLeast: 1 },
  }) as const

export const channelBench: Question = {
  name: 'channel',
  title: "The channel, beside Tokio's",
  how: `A channel of ${CAPACITY} is filled without waiting and drained, in turn. In the cases “await send”, producers wait
for room and a receiver waits for items. Millrace has one thread; Tokio is measured with its runtime of one thread and
with the one of all threads.`,
  targets: [target(1, 'Millrace recvMany, 1 producer'), target(4, 'Millrace recvMany, 4 producers')],
  plots: [
    {
      kind: 'bars',
      name: 'channel',
      title: 'Items through the channel a second',
      measure: 'itemsPerSecond',
      only: /recvMany|recv_many/,
    },
  ],
  async run({ smoke, rounds }) {
    const items = smoke ? 50_000 : ITEMS
    const reason = tokioChannel.missing()
    const ours = new Collected()
    const theirs = new Collected()
    for (let round = 0; round < rounds; round++) {
      for (const [name, [rate = Number.NaN]] of await takeTurns(cases, 1, items))
        ours.add(name, { itemsPerSecond: rate })
      if (reason !== undefined) continue
      progress('Tokio')
      for (const { subject, itemsPerSecond } of await tokio(items)) theirs.add(subject, { itemsPerSecond })
    }
    const skipped = reason === undefined ? [] : [{ subject: 'Tokio', reason }]
    const remarks = reason === undefined ? [`Measured with ${tokioChannel.version()}`] : []
    return { series: [...ours.series, ...theirs.series], skipped, remarks }
  },
}
