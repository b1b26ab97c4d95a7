/**
 * `millrace log …`: reads segment files without the lock, so it works beside a running service and after a crash. Only
 * `repair --yes` takes the lock and changes files.
 */
import { join } from 'node:path'
import { decode } from '../delivery/decode.ts'
import { MillraceError } from '../errors.ts'
import { ConsumerStore, NAME as PROGRESS } from '../log/embedded/consumer-store.ts'
import { takeLock, unusable } from '../log/embedded/directory.ts'
import { EmbeddedLog } from '../log/embedded/embedded-log.ts'
import { nodeFiles } from '../log/embedded/files.ts'
import { type Inspected, inspectLog } from '../log/embedded/inspect.ts'
import { SpaceReserve } from '../log/embedded/reserve.ts'
import { QUARANTINE, quarantineDamage, quarantineName } from '../log/embedded/segments.ts'
import type { Damage } from '../log/log.ts'
import { printable } from '../process/printable.ts'
import { requireLog, requireStopped, unreadable } from './log-directory.ts'
import { note, print, printBytes } from './output.ts'

/** Options for a log that is opened only for recovery. */
const NO_LIMITS = { segmentBytes: 64 * 1024, maxBytes: Number.MAX_SAFE_INTEGER, retentionMs: Number.MAX_SAFE_INTEGER }
const PROGRESS_EVERY_BYTES = 256 * 1024 * 1024

/** Lists segments and groups. @returns true when nothing is damaged. */
export async function inspect(options: {
  dir: string
  from: number
  groups: number
  events?: boolean
}): Promise<boolean> {
  let shown = 0
  let sound = true
  for await (const found of read(options.dir, options.from)) {
    if (found.kind === 'segment') await print(`segment ${found.name}  ${found.bytes} bytes`)
    if (found.kind === 'damage') {
      sound = false
      await print(describe(found.damage))
    }
    if (found.kind !== 'group') continue
    const { baseOffset, count, appendedAtMs, payload } = found.group
    const isRead = await print(
      `  at ${found.position}  offsets ${baseOffset}–${baseOffset + count - 1}  ${payload.length} bytes  ${new Date(appendedAtMs).toISOString()}`,
    )
    if (!isRead) break
    if (options.events)
      for (const line of payload.toString().trimEnd().split('\n')) await print(`    ${printable(line)}`)
    shown += 1
    if (shown === options.groups) {
      await print(`… stopped after ${shown} groups; go on with --from ${baseOffset + count}`)
      break
    }
  }
  return sound
}

/** Verifies every checksum. @returns true when nothing is damaged. */
export async function verify(options: { dir: string }): Promise<boolean> {
  const startedAt = performance.now()
  let segments = 0
  let groups = 0
  let events = 0
  let bytes = 0
  let nextProgress = PROGRESS_EVERY_BYTES
  const damages: Damage[] = []
  for await (const found of read(options.dir, 0)) {
    if (found.kind === 'segment') segments += 1
    if (found.kind === 'damage') {
      damages.push(found.damage)
      await print(describe(found.damage))
    }
    if (found.kind !== 'group') continue
    groups += 1
    events += found.group.count
    bytes += found.group.payload.length
    if (bytes < nextProgress) continue
    nextProgress += PROGRESS_EVERY_BYTES
    note(`  ${Math.round(bytes / 2 ** 20)} MiB checked`)
  }
  const seconds = (performance.now() - startedAt) / 1000
  await print(
    `${segments} segments, ${groups} groups, ${events} events, ${bytes} bytes checked in ${seconds.toFixed(2)} s`,
  )
  if (damages.length === 0) {
    await print('sound: every checksum matches')
    return true
  }
  const lost = damages.reduce((sum, damage) => sum + damage.events, 0)
  await print(
    `damaged in ${damages.length} places, ${lost} events missing; the service starts and skips them by itself`,
  )
  return false
}

/**
 * Explains what is wrong with a log and what can be repaired. With `yes`, it also repairs, in the same way as the next
 * start would. Nothing is deleted: damaged bytes are copied or moved to `quarantine/`, and everything around them stays
 * readable.
 * @returns true when nothing is left to do.
 * @throws MillraceError DATA_DIR_LOCKED while a service has the log open.
 */
export async function repair({ dir, yes }: { dir: string; yes: boolean }): Promise<boolean> {
  await requireLog(dir)
  await requireStopped(dir)
  const kept = await nodeFiles.list(join(dir, QUARANTINE)).catch((): string[] => [])
  const todo: string[] = []
  let isProgressDamaged = false
  const holes: Damage[] = []
  const onWarning = (message: string) => void todo.push(printable(message))
  await ConsumerStore.open(nodeFiles, dir, new SpaceReserve(nodeFiles, dir), (message) => {
    isProgressDamaged = true
    onWarning(`${message}; the file is moved to quarantine/`)
  })
  for await (const found of read(dir, 0, onWarning)) {
    if (found.kind !== 'damage') continue
    const { damage, tail = false } = found
    if (tail) todo.push(`${describe(damage)}: copied to quarantine/, then cut off`)
    else if (damage.bytes > 0 && !kept.includes(quarantineName(damage))) holes.push(damage)
    else if (damage.bytes > 0) await print(`${describe(damage)}: kept in quarantine/, readers skip it`)
    else await print(`${describe(damage)}: nothing can bring them back`)
  }
  for (const damage of holes) todo.push(`${describe(damage)}: copied to quarantine/; readers skip it`)
  for (const line of todo) await print(line)
  if (todo.length === 0) {
    await print('nothing to repair')
    return true
  }
  if (!yes) {
    await print(`nothing was changed: ${todo.length} things to do, with --yes`)
    return false
  }
  const lock = await takeLock(nodeFiles, dir) // a service may have started since the check
  try {
    for (const damage of holes) await quarantineDamage(nodeFiles, dir, damage)
    if (isProgressDamaged) {
      await nodeFiles.makeDirectory(join(dir, QUARANTINE))
      await nodeFiles.rename(join(dir, PROGRESS), join(dir, QUARANTINE, `${PROGRESS}.${Date.now()}`))
    }
  } catch (error) {
    throw unusable(dir, error)
  } finally {
    await lock.release()
  }
  // Use the recovery of a start, so that there is only one implementation.
  const log = await EmbeddedLog.open({ directory: dir, ...NO_LIMITS, files: nodeFiles })
  await log.close()
  await print(`${todo.length} things done`)
  return true
}

/** Writes stored events as complete CloudEvents, one a line. @returns true when none of them is damaged. */
export async function replay(options: { dir: string; from: number; to: number }): Promise<boolean> {
  const { dir, from, to } = options
  if (to < from) throw new MillraceError('CONFIG_INVALID', `--to ${to} is before --from ${from}: nothing is between`)
  let sound = true
  let written = 0
  for await (const found of read(dir, from)) {
    if (found.kind === 'damage') {
      sound = false
      note(describe(found.damage))
    }
    if (found.kind !== 'group') continue
    const { baseOffset } = found.group
    if (baseOffset >= to) break
    let at = baseOffset
    for (const block of decode(found.group)) {
      if (block === undefined) {
        if (at >= from && at < to) {
          sound = false
          note(`offset ${at} holds no event: left out`)
        }
        at += 1
        continue
      }
      const [first, end] = [Math.max(0, from - at), Math.min(block.count, to - at)]
      at += block.count
      if (first >= end) continue
      written += end - first
      if (!(await printEvents(block.slice(first, end)))) return sound
    }
  }
  if (written === 0) note(`no event is stored from offset ${from} on: millrace log inspect shows which are`)
  return sound
}

/** Prints exact bytes to a pipe; to a terminal, without control characters. @param lines each ends with a newline. */
function printEvents(lines: Buffer): Promise<boolean> {
  if (!process.stdout.isTTY) return printBytes(lines)
  return print(lines.toString().trimEnd().split('\n').map(printable).join('\n'))
}

async function* read(
  directory: string,
  fromOffset: number,
  onWarning: (message: string) => void = (message) => note(printable(message)),
): AsyncGenerator<Inspected> {
  await requireLog(directory)
  try {
    yield* inspectLog(directory, { fromOffset, onWarning })
  } catch (error) {
    throw unreadable(directory, error, 'name the log directory with --dir')
  }
}

function describe({ segment, position, bytes, events, reason }: Damage): string {
  const lost = events > 0 ? `, ${events} events missing` : ''
  return `DAMAGED ${segment} at ${position}, ${bytes} bytes${lost}: ${printable(reason)}`
}
