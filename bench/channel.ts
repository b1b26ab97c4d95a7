/** How many items a second go through the channel, one thread, by the way they are received and the number of senders. */
import { channel, type Receiver, type Sender } from '../app/channel/channel.ts'
import { type Case, measure, type Question } from './rounds.ts'

const CAPACITY = 1024
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
  'recv, 1 producer': alternating(1, async (receiver) => {
    let count = 0
    for (; receiver.length > 0; count++) await receiver.recv()
    return count
  }),
  'tryRecv, 1 producer': alternating(1, async (receiver) => {
    let count = 0
    while (receiver.tryRecv() !== undefined) count += 1
    return count
  }),
  'recvMany, 1 producer': alternating(1, (receiver) => {
    out.length = 0
    return receiver.recvMany(out, CAPACITY)
  }),
  'recvMany, 4 producers': alternating(4, (receiver) => {
    out.length = 0
    return receiver.recvMany(out, CAPACITY)
  }),
  'await send → recvMany, 1 producer': waiting(1),
  'await send → recvMany, 4 producers': waiting(4),
}

export const channelBench: Question = async (smoke) => {
  const measured = await measure(cases, smoke ? 1 : 9, smoke ? 50_000 : 2_000_000)
  const millions = (rate: number) => (rate / 1e6).toFixed(1).padStart(6)
  return [
    `${'million items a second'.padEnd(38)}median    min    max`,
    ...measured.map(
      ({ name, median, minimum, maximum }) =>
        `${name.padEnd(38)}${millions(median)} ${millions(minimum)} ${millions(maximum)}`,
    ),
  ]
}
