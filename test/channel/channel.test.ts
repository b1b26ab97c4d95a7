import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { channel, SendAborted, type Sender, SendRefused } from '../../app/channel/channel.ts'

/** Whether a promise has settled once everything that can run has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  const turn = new Promise((resolve) => setImmediate(() => resolve(pending)))
  return (await Promise.race([promise.catch(() => undefined), turn])) === pending
}

describe('bounds', () => {
  test('a full channel refuses trySend and keeps what is queued', () => {
    const { sender, receiver } = channel<number>(2)
    expect([sender.trySend(1), sender.trySend(2), sender.trySend(3)]).toEqual(['sent', 'sent', 'full'])
    expect([receiver.tryRecv(), receiver.tryRecv(), receiver.tryRecv()]).toEqual([1, 2, undefined])
  })

  test('an item can take several slots and some bytes, and both are bounds', () => {
    const { sender, receiver } = channel<{ n: number; b: number }>(10, {
      slots: ({ n }) => n,
      bytes: ({ b }) => b,
      maxBytes: 100,
    })
    expect([sender.capacity, sender.maxCapacity, sender.freeBytes]).toEqual([10, 10, 100])
    expect(sender.trySend({ n: 6, b: 10 })).toBe('sent')
    expect(sender.trySend({ n: 5, b: 0 })).toBe('full')
    expect(sender.trySend({ n: 1, b: 91 })).toBe('full')
    expect(sender.trySend({ n: 4, b: 90 })).toBe('sent')
    expect([sender.capacity, sender.maxCapacity, sender.freeBytes]).toEqual([0, 10, 0])
    expect([receiver.slots, receiver.bytes, receiver.length]).toEqual([10, 100, 2])
  })

  test('what can never fit is an error at once, not a wait', async () => {
    const { sender } = channel<number>(10, { slots: (n) => n, bytes: (n) => n, maxBytes: 8 })
    const tooLarge = { code: 'CHANNEL_ITEM_TOO_LARGE', retryable: false }
    expect(() => sender.trySend(11)).toThrow(/11 slots, the channel has 10/)
    await expect(sender.send(9)).rejects.toMatchObject(tooLarge)
    await expect(sender.reserveMany(11)).rejects.toMatchObject(tooLarge)
    expect(() => sender.tryReserve(1, { bytes: 9 })).toThrow(/9 bytes, the channel has 8/)
  })

  test.each([0, -1, 1.5, Number.NaN, 2 ** 31])('%d is no capacity', (capacity) => {
    expect(() => channel(capacity)).toThrow(RangeError)
  })

  test('permits count as used', () => {
    const { sender, receiver } = channel<number>(3)
    const permit = sender.tryReserve(2)
    expect(sender.capacity).toBe(1)
    expect([sender.trySend(1), sender.trySend(2)]).toEqual(['sent', 'full'])
    expect([receiver.slots, receiver.length]).toEqual([1, 1])
    if (typeof permit === 'object') permit.release()
    expect(sender.trySend(2)).toBe('sent')
  })
})

describe('waiting', () => {
  test('who waits first is served first, senders and reservations alike', async () => {
    const { sender, receiver } = channel<string>(1)
    sender.trySend('first')
    const order: string[] = []
    const note = (name: string) => () => void order.push(name)
    const waiting = [
      sender.send('a').then(note('a')),
      sender
        .reserve()
        .then((permit) => permit.send('b'))
        .then(note('b')),
      sender.send('c').then(note('c')),
    ]
    const got = []
    for (let at = 0; at < 4; at++) got.push(await receiver.recv())
    await Promise.all(waiting)
    expect(got).toEqual(['first', 'a', 'b', 'c'])
    expect(order).toEqual(['a', 'b', 'c'])
  })

  test('a large waiter at the head is not overtaken by small ones, nor by trySend', async () => {
    const { sender, receiver } = channel<number>(4, { slots: (n) => n })
    sender.trySend(3)
    const large = sender.send(4)
    const small = sender.send(1)
    expect(sender.trySend(1)).toBe('full')
    expect(await isPending(small)).toBe(true)
    expect(receiver.tryRecv()).toBe(3)
    await large
    expect(await isPending(small)).toBe(true)
    expect(receiver.tryRecv()).toBe(4)
    await small
    expect(receiver.tryRecv()).toBe(1)
  })

  test('an aborted send was not sent and gives the value back, with the reason', async () => {
    const { sender, receiver } = channel<string>(1)
    sender.trySend('x')
    const abort = new AbortController()
    const sending = sender.send('mine', { signal: abort.signal })
    abort.abort('enough')
    const error = await sending.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(SendAborted)
    expect(error).toMatchObject({ value: 'mine', cause: 'enough' })
    expect([receiver.tryRecv(), receiver.tryRecv()]).toEqual(['x', undefined])
    await expect(sender.send('y', { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(SendAborted)
  })

  test('aborting the head of the line lets the next one in', async () => {
    const { sender, receiver } = channel<number>(4, { slots: (n) => n })
    sender.trySend(2)
    const abort = new AbortController()
    const large = sender.send(4, { signal: abort.signal })
    const small = sender.send(2)
    abort.abort()
    await expect(large).rejects.toBeInstanceOf(SendAborted)
    await small
    expect([receiver.tryRecv(), receiver.tryRecv()]).toEqual([2, 2])
  })

  test('an abort after the value was sent changes nothing', async () => {
    const { sender, receiver } = channel<number>(1)
    const abort = new AbortController()
    await sender.send(1, { signal: abort.signal })
    abort.abort()
    expect(receiver.tryRecv()).toBe(1)
  })

  test('sendTimeout tells sent, timeout and closed apart', async () => {
    const { sender, receiver } = channel<number>(1)
    expect(await sender.sendTimeout(1, 10)).toBe('sent')
    expect(await sender.sendTimeout(2, 10)).toBe('timeout')
    const late = sender.sendTimeout(3, 1000)
    receiver.tryRecv()
    expect(await late).toBe('sent')
    const refused = sender.sendTimeout(4, 1000)
    receiver.close()
    expect(await refused).toBe('closed')
    expect([receiver.tryRecv(), receiver.tryRecv()]).toEqual([3, undefined])
  })
})

describe('permits', () => {
  test('reserveMany waits for all slots at once and sends one by one', async () => {
    const { sender, receiver } = channel<number>(3)
    sender.trySend(0)
    const reserving = sender.reserveMany(3)
    expect(await isPending(reserving)).toBe(true)
    receiver.tryRecv()
    const permit = await reserving
    permit.send(1)
    expect(permit.remaining).toBe(2)
    permit.send(2)
    permit.release()
    permit.release()
    expect(sender.capacity).toBe(1)
    const out: number[] = []
    expect(receiver.tryRecvMany(out, 10)).toBe(2)
    expect(out).toEqual([1, 2])
  })

  test('using returns what was not used', () => {
    const { sender } = channel<number>(3)
    {
      using permit = sender.tryReserve(3) as Exclude<ReturnType<typeof sender.tryReserve>, string>
      permit.send(1)
      expect(sender.capacity).toBe(0)
    }
    expect(sender.capacity).toBe(2)
  })

  test('a value larger than the permit is refused and costs nothing', () => {
    const { sender } = channel<number>(10, { slots: (n) => n })
    const permit = sender.tryReserve(3)
    if (typeof permit === 'string') throw new Error(permit)
    expect(() => permit.send(4)).toThrow(/takes 4 slots and 0 bytes, the permit has 3 and 0 left/)
    permit.send(3)
    expect(() => permit.send(1)).toThrow(RangeError)
  })
})

describe('receiving', () => {
  test('recvMany takes everything queued in one step, up to max', async () => {
    const { sender, receiver } = channel<number>(10)
    for (let n = 0; n < 5; n++) sender.trySend(n)
    const out: number[] = []
    expect(await receiver.recvMany(out, 3)).toBe(3)
    expect(await receiver.recvMany(out, 3)).toBe(2)
    expect(out).toEqual([0, 1, 2, 3, 4])
  })

  test('recvMany stops before maxBytes, but takes one larger item alone', async () => {
    const { sender, receiver } = channel<number>(10, { bytes: (n) => n, maxBytes: 1000 })
    for (const n of [30, 30, 50, 500, 1]) sender.trySend(n)
    const group = async () => {
      const out: number[] = []
      await receiver.recvMany(out, 10, { maxBytes: 100 })
      return out
    }
    expect([await group(), await group(), await group(), await group()]).toEqual([[30, 30], [50], [500], [1]])
  })

  test('a recvMany that lingers gets what comes meanwhile', async () => {
    const { sender, receiver } = channel<number>(100)
    const out: number[] = []
    sender.trySend(1)
    const receiving = receiver.recvMany(out, 10, { lingerMs: 40 })
    await Promise.resolve() // it has seen the first
    sender.trySend(2)
    expect(await receiving).toBe(2)
    expect(out).toEqual([1, 2])
  })

  test('a linger ends when enough is there, half of the channel is taken, or nothing more can come', async () => {
    const options = { bytes: () => 10, maxBytes: 1000 }
    for (const end of [
      (sender: Sender<number>) => void [1, 2, 3].map((value) => sender.trySend(value)),
      (sender: Sender<number>) => void Array.from({ length: 6 }, (_, value) => sender.trySend(value)),
      (sender: Sender<number>) => sender.close(),
    ]) {
      const { sender, receiver } = channel<number>(10, options)
      sender.trySend(0)
      const receiving = receiver.recvMany([], 100, { lingerMs: 60_000, maxBytes: 40 })
      end(sender)
      expect(await receiving).toBeGreaterThan(0)
    }
  })

  test('a linger for a number of items ends with the last of them, not later', async () => {
    const { sender, receiver } = channel<number>(100)
    const out: number[] = []
    const startedAt = performance.now()
    const receiving = receiver.recvMany(out, 100, { lingerMs: 60_000, lingerItems: 3 })
    for (const item of [1, 2]) sender.trySend(item)
    await sleep(20)
    expect(out).toEqual([])
    sender.trySend(3)
    expect(await receiving).toBe(3)
    expect(performance.now() - startedAt).toBeLessThan(30_000)
  })

  test('aborting a linger leaves everything in the channel', async () => {
    const { sender, receiver } = channel<number>(10)
    sender.trySend(1)
    const abort = new AbortController()
    const receiving = receiver.recvMany([], 10, { lingerMs: 60_000, signal: abort.signal })
    abort.abort(new Error('enough'))
    await expect(receiving).rejects.toThrow('enough')
    expect(receiver.tryRecv()).toBe(1)
  })

  test('a waiting recvMany gets all that was sent in the same turn', async () => {
    const { sender, receiver } = channel<number>(10)
    const out: number[] = []
    const receiving = receiver.recvMany(out, 10)
    for (let n = 0; n < 4; n++) sender.trySend(n)
    expect(await receiving).toBe(4)
  })

  test('an aborted recv loses nothing', async () => {
    const { sender, receiver } = channel<number>(1)
    const abort = new AbortController()
    const receiving = receiver.recv({ signal: abort.signal })
    abort.abort(new Error('stop'))
    await expect(receiving).rejects.toThrow('stop')
    sender.trySend(1)
    expect(await receiver.recv()).toBe(1)
  })

  test('two receives at once are a programming error', async () => {
    const { sender, receiver } = channel<number>(1)
    const first = receiver.recv()
    await expect(receiver.recv()).rejects.toThrow(/one receiver/)
    sender.trySend(1)
    expect(await first).toBe(1)
  })

  test('async iteration ends when the channel does', async () => {
    const { sender, receiver } = channel<number>(3)
    for (let n = 0; n < 3; n++) sender.trySend(n)
    sender.close()
    const got: number[] = []
    for await (const n of receiver) got.push(n)
    expect(got).toEqual([0, 1, 2])
  })

  test('null is a value', async () => {
    const { sender, receiver } = channel<null>(1)
    sender.trySend(null)
    expect(await receiver.recv()).toBeNull()
  })
})

describe('closing', () => {
  test('closing the last sender ends the channel behind what is queued, and wakes a waiting receiver', async () => {
    const { sender, receiver } = channel<number>(2)
    const other = sender.clone()
    sender.trySend(1)
    sender.close()
    sender.close()
    expect(await receiver.recv()).toBe(1)
    const end = receiver.recv()
    expect(await isPending(end)).toBe(true)
    other.close()
    expect(await end).toBeUndefined()
    expect(sender.trySend(2)).toBe('closed')
  })

  test('what waits when its sender closes is still sent', async () => {
    const { sender, receiver } = channel<number>(1)
    sender.trySend(1)
    const waiting = sender.send(2)
    sender.close()
    expect([await receiver.recv(), await receiver.recv(), await receiver.recv()]).toEqual([1, 2, undefined])
    await waiting
  })

  test('an aborted last waiter of a closed sender ends the channel', async () => {
    const { sender, receiver } = channel<number>(1)
    sender.trySend(1)
    const abort = new AbortController()
    const waiting = sender.send(2, { signal: abort.signal })
    sender.close()
    expect(await receiver.recv().then(() => isPending(waiting))).toBe(false)
    const reserved = channel<number>(1)
    const permit = await reserved.sender.reserve()
    const blocked = reserved.sender.send(1, { signal: abort.signal })
    reserved.sender.close()
    const end = reserved.receiver.recv()
    permit.release()
    expect(await end).toBe(1)
    await blocked
  })

  test('a permit keeps the channel open until it is used or released', async () => {
    const { sender, receiver } = channel<number>(2)
    const permit = await sender.reserveMany(2)
    sender.close()
    const next = receiver.recv()
    permit.send(7)
    expect(await next).toBe(7)
    const end = receiver.recv()
    expect(await isPending(end)).toBe(true)
    permit.release()
    expect(await end).toBeUndefined()
  })

  test('closing the receiver refuses who waits, gives the value back, keeps what is queued and what holds a permit', async () => {
    const { sender, receiver } = channel<number>(2)
    sender.trySend(1)
    const permit = await sender.reserve()
    const waiting = sender.send(3)
    const closed = sender.closed()
    receiver.close()
    await expect(waiting).rejects.toMatchObject({ code: 'CHANNEL_CLOSED', value: 3 })
    await expect(sender.send(4)).rejects.toBeInstanceOf(SendRefused)
    await expect(sender.reserve()).rejects.toBeInstanceOf(SendRefused)
    expect([sender.trySend(5), sender.tryReserve(), sender.isClosed]).toEqual(['closed', 'closed', true])
    await closed
    expect(await receiver.recv()).toBe(1)
    expect(receiver.isDrained).toBe(false)
    permit.send(2)
    expect([await receiver.recv(), await receiver.recv(), receiver.isDrained]).toEqual([2, undefined, true])
  })

  test('a weak sender does not keep the channel open and comes back only while there is another', async () => {
    const { sender, receiver } = channel<number>(1)
    const weak = sender.downgrade()
    const strong = weak.upgrade()
    sender.close()
    expect(strong?.trySend(1)).toBe('sent')
    strong?.close()
    expect(weak.upgrade()).toBeUndefined()
    expect([await receiver.recv(), await receiver.recv()]).toEqual([1, undefined])
    expect(() => sender.clone()).toThrow(/closed sender/)
  })
})
