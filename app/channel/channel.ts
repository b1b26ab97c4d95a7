/**
 * A bounded channel from many senders to one receiver, with the semantics of Tokio's bounded `mpsc`
 * (https://docs.rs/tokio/latest/tokio/sync/mpsc/). In addition, items have weights: an item can take several slots and
 * a number of bytes. Both are hard bounds.
 *
 *     const { sender, receiver } = channel<Work>(100)
 *     sender.trySend(work)                  'sent' | 'full' | 'closed', never waits
 *     await sender.send(work)               waits for room, first come, first served
 *     (await sender.reserve()).send(work)   room first, item later
 *     await receiver.recvMany(group, 1000)  everything queued, in one step
 *
 * Bounds: queued items and reserved permits together never exceed the capacity, nor `maxBytes`.
 *
 * Order: items arrive in the order in which they were sent. Waiters get room in the order in which they began to wait.
 *
 * Closing by the senders: after the last sender is closed, the receiver gets all items that are queued, wait for room
 * or are held by a permit, then the end. Closing by the receiver: `close` refuses items that are not sent yet, and
 * keeps items that are queued or held by a permit. Receive until the end, and nothing is lost.
 */
import { type ChannelOptions, ChannelState, type Sendable } from './channel-state.ts'
import { Receiver } from './receiver.ts'
import { Sender } from './sender.ts'

export type { ChannelOptions } from './channel-state.ts'
export type { Permit } from './permit.ts'
export type { Receiver } from './receiver.ts'
export { SendAborted, type Sender, SendRefused, type WeakSender } from './sender.ts'

/**
 * @param capacity slots: an integer from 1 to 2^30.
 * @throws RangeError for a capacity or `maxBytes` outside its range.
 */
export function channel<T extends Sendable>(
  capacity: number,
  options: ChannelOptions<T> = {},
): { sender: Sender<T>; receiver: Receiver<T> } {
  const state = new ChannelState<T>(capacity, options)
  return { sender: new Sender(state), receiver: new Receiver(state) }
}
