import { afterEach, expect, test } from 'vitest'
import { channel } from '../../app/channel/channel.ts'
import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import { type File, type Files, nodeFiles } from '../../app/log/embedded/files.ts'
import { groupCommit } from '../../app/log/group-commit.ts'
import { Write } from '../../app/write.ts'
import { until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

/** A log whose writes can fail, and everything in front of it. */
async function start(options: { write?: () => void; lingerMs?: number } = {}) {
  const wrap = (file: File): File => ({
    read: (...args) => file.read(...args),
    truncate: (bytes) => file.truncate(bytes),
    stat: () => file.stat(),
    close: () => file.close(),
    write: (...args) => {
      options.write?.()
      return file.write(...args)
    },
    datasync: () => file.datasync(),
  })
  const files: Files = { ...nodeFiles, open: async (path, mode) => wrap(await nodeFiles.open(path, mode)) }
  const groups: number[] = []
  const log = await EmbeddedLog.open({
    directory: temporaryDirectory(),
    segmentBytes: 1e6,
    maxBytes: 1e7,
    retentionMs: 1e6,
    files,
    observer: { onSync: (_, events) => groups.push(events) },
  })
  const { sender, receiver } = channel<Write>(1000)
  const running = groupCommit(receiver, log, { maxGroupBytes: 1e6, lingerMs: options.lingerMs ?? 0 })
  ends.push(async () => {
    sender.close()
    await running
    await log.close()
  })
  const answered: (number | string)[] = []
  const send = (id: number) => {
    const onSettled = (error: unknown) => answered.push(error === undefined ? id : `${id} failed`)
    sender.trySend(new Write(Buffer.from(`{"id":${id}}`), 1, onSettled))
  }
  return { send, groups, answered }
}

test('what queues up while a group is synced is the next group, with one sync', async () => {
  const { send, groups, answered } = await start()
  send(0)
  await Promise.resolve()
  await Promise.resolve() // it is taken, alone
  for (let id = 1; id <= 50; id++) send(id)
  await until(() => answered.length === 51, 5000, 'all answered')
  expect(groups).toEqual([1, 50])
  expect(answered).toEqual(Array.from({ length: 51 }, (_, id) => id))
})

test('a group is answered as soon as it is durable, while the next one lingers', async () => {
  const { send, answered, groups } = await start({ lingerMs: 2000 })
  send(1)
  await until(() => groups.length === 1, 5000, 'the sync')
  send(2)
  await until(() => answered.length === 1, 1000, 'the first answer')
  expect(answered).toEqual([1])
})

test('a group that the disk refuses fails its own writes only', async () => {
  let full = false
  const write = () => {
    if (full) throw Object.assign(new Error('ENOSPC: made up'), { code: 'ENOSPC' })
  }
  const { send, answered } = await start({ write })
  full = true
  send(1)
  await until(() => answered.length === 1, 5000, 'the refusal')
  full = false
  send(2)
  await until(() => answered.length === 2, 5000, 'the answer')
  expect(answered).toEqual(['1 failed', 2])
})
