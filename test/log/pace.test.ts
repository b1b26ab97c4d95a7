import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { channel } from '../../app/channel/channel.ts'
import { groupCommit } from '../../app/log/group-commit.ts'
import type { Log } from '../../app/log/log.ts'
import { Pace } from '../../app/log/pace.ts'
import { NOTHING_LOST, Write } from '../../app/write.ts'

const MAX_BYTES = 1e6
const GROUPS = 20

/** A pace behind groups that were alike: so many writes in hand, and `append` is what went on meanwhile. */
async function paceAfter(inHand: number, append: () => Promise<unknown>, lingerMs = 0): Promise<Pace> {
  const pace = new Pace(MAX_BYTES, lingerMs)
  for (let group = 0; group < GROUPS; group++) {
    pace.begin()
    await append()
    pace.end(Math.min(1, inHand), inHand - 1)
  }
  return pace
}

async function work(ms: number): Promise<void> {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
  await new Promise(setImmediate)
}

test('one client alone waits for nothing: as many as there are', async () => {
  expect((await paceAfter(1, () => sleep(10))).lingerItems).toBe(1)
})

test('a group waits for those in hand when the last one was answered, for a part of a sync and 10 ms at most', async () => {
  let longestMs = 0 // a busy machine sleeps for longer than it is told
  const pace = await paceAfter(64, async () => {
    const startedAtMs = performance.now()
    await sleep(8)
    longestMs = Math.max(longestMs, performance.now() - startedAtMs)
  })
  expect(pace).toMatchObject({ lingerItems: 64, maxBytes: MAX_BYTES })
  expect(pace.lingerMs).toBeGreaterThan(1)
  expect(pace.lingerMs).toBeLessThanOrEqual(Math.min(10, longestMs / 2))
  expect((await paceAfter(64, () => sleep(30))).lingerMs).toBe(10)
})

test('where a sync takes less than a timer, or the loop works meanwhile, nobody waits', async () => {
  expect((await paceAfter(64, () => new Promise(setImmediate))).lingerMs).toBe(0)
  expect((await paceAfter(64, () => work(8))).lingerMs).toBe(0)
})

test('what was long ago is not waited for', async () => {
  const pace = await paceAfter(64, () => sleep(8))
  await sleep(20)
  expect(pace.lingerMs).toBe(0)
})

test('GROUP_LINGER_MS waits as long as it says, for any number', () => {
  expect(new Pace(MAX_BYTES, 25)).toMatchObject({ lingerMs: 25, lingerItems: Number.POSITIVE_INFINITY })
})

/** Clients that each send again once they are answered, before a log that takes `appendMs`. @returns writes of each group. */
async function closedLoop(clients: number, appendMs: number, groups: number): Promise<number[]> {
  const { sender, receiver } = channel<Write>(1000)
  const sizes: number[] = []
  const append: Log['append'] = async ({ length }) => {
    sizes.push(length)
    await sleep(appendMs)
    return NOTHING_LOST
  }
  const send = () => {
    if (sizes.length < groups) sender.trySend(new Write(Buffer.from('{}'), 1, () => void setImmediate(send)))
    else sender.close()
  }
  for (let client = 0; client < clients; client++) setTimeout(send, client / 10)
  await groupCommit(receiver, { append } as Partial<Log> as Log, { maxGroupBytes: MAX_BYTES })
  return sizes
}

test('clients that were answered together are synced together, and not the first of them alone', async () => {
  const sizes = (await closedLoop(64, 8, 60)).slice(10)
  expect(sizes.reduce((sum, size) => sum + size) / sizes.length).toBeGreaterThan(50) // without a wait: 32, as 1 and 63
})
