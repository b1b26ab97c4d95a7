import { join } from 'node:path'
import { describe } from 'vitest'
import type { EmbeddedLog } from '../../../app/log/embedded/embedded-log.ts'
import type { LogMirror } from '../../../app/log/embedded/log-mirror.ts'
import type { Consumer, Log } from '../../../app/log/log.ts'
import { openSharedLog } from '../../../app/log/open.ts'
import { openLog } from '../../support/delivery.ts'
import { logConformance } from '../../support/log-conformance.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

describe('the embedded log', () => {
  const directories = new Map<string, string>()
  const open = (name: string) => {
    const directory = directories.get(name) ?? join(temporaryDirectory(), name)
    directories.set(name, directory)
    return openLog(directory)
  }
  logConformance(() => ({ open, openDeadLetters: open, propertyRuns: 50 }))
})

describe('the embedded log, read as by a thread of its own', () => {
  const directories = new Map<string, string>()
  const directoryOf = (name: string) => {
    const directory = directories.get(name) ?? join(temporaryDirectory(), name)
    directories.set(name, directory)
    return directory
  }
  logConformance(() => ({
    open: async (name) => mirrored(await openLog(directoryOf(name))),
    openDeadLetters: (name) => openLog(directoryOf(name)),
    propertyRuns: 50,
  }))
})

/** The log, with consumers that know of it only what messages say. How late they are is asked here, as the service does. */
function mirrored(log: EmbeddedLog): Log {
  const mirrors: LogMirror[] = []
  const consumer = async (name: string): Promise<Consumer> => {
    const ours = await log.consumer(name)
    const { port, ...told } = log.share()
    const mirror = openSharedLog({ port, ...structuredClone(told) })
    mirrors.push(mirror)
    const theirs = await mirror.consumer(name)
    return withMembers(theirs, {
      lagEvents: { get: () => ours.lagEvents },
      oldestAppendedAtMs: { get: () => ours.oldestAppendedAtMs },
    })
  }
  const close = async () => {
    for (const mirror of mirrors) await mirror.close()
    await log.close()
  }
  return withMembers(log, { consumer: { value: consumer }, close: { value: close } })
}

/** `target`, but for these. */
function withMembers<T extends object>(target: T, members: Readonly<Record<string, PropertyDescriptor>>): T {
  return new Proxy(target, {
    get(_, key) {
      const own = typeof key === 'string' ? members[key] : undefined
      if (own !== undefined) return own.get?.() ?? own.value
      const value = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
    set: (_, key, value) => Reflect.set(target, key, value, target),
  })
}
