/** `millrace log …`: reads segment files without the lock, so beside a running service or after a crash. */
import { once } from 'node:events'
import { decode } from '../delivery/decode.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { type Inspected, inspectLog } from '../log/embedded/inspect.ts'
import type { Damage } from '../log/log.ts'

const PROGRESS_EVERY_BYTES = 256 * 1024 * 1024

/** Lists segments and groups; true when nothing was damaged. */
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
    await print(
      `  at ${found.position}  offsets ${baseOffset}–${baseOffset + count - 1}  ${payload.length} bytes  ${new Date(appendedAtMs).toISOString()}`,
    )
    if (options.events) for (const line of payload.toString().trimEnd().split('\n')) await print(`    ${line}`)
    shown += 1
    if (shown === options.groups) {
      await print(`… stopped after ${shown} groups; go on with --from ${baseOffset + count}`)
      break
    }
  }
  return sound
}

/** Checks everything; true when nothing was damaged. */
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
    process.stderr.write(`  ${Math.round(bytes / 2 ** 20)} MiB checked\n`)
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
    `damaged in ${damages.length} places, ${lost} events missing; the service starts and steps over them by itself`,
  )
  return false
}

/** Writes stored events as complete CloudEvents, one a line. */
export async function replay(options: { dir: string; from: number; to: number }): Promise<boolean> {
  for await (const found of read(options.dir, options.from)) {
    if (found.kind === 'damage') process.stderr.write(`${describe(found.damage)}\n`)
    if (found.kind !== 'group') continue
    const { baseOffset } = found.group
    if (baseOffset >= options.to) break
    const events = decode(found.group)
    const wanted = events.slice(Math.max(0, options.from - baseOffset), Math.max(0, options.to - baseOffset))
    await print(wanted.map((event) => JSON.stringify(event)).join('\n'))
  }
  return true
}

async function* read(directory: string, fromOffset: number): AsyncGenerator<Inspected> {
  try {
    yield* inspectLog(directory, { fromOffset, onWarning: (message) => process.stderr.write(`${message}\n`) })
  } catch (error) {
    if (error instanceof MillraceError) throw error
    throw new MillraceError(
      'DATA_DIR_UNUSABLE',
      `cannot read ${directory} (${messageOf(error)}): name the log directory with --dir`,
    )
  }
}

function describe({ segment, position, bytes, events, reason }: Damage): string {
  const lost = events > 0 ? `, ${events} events missing` : ''
  return `DAMAGED ${segment} at ${position}, ${bytes} bytes${lost}: ${reason}`
}

async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain')
}
