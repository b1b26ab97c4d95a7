/**
 * `millrace dlq …`: lists dead letters, from disk or from the running service. Replays them through the service,
 * because only the service may write the log.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type ListedLetter, REPLAY_CONSUMER } from '../delivery/dead-letters.ts'
import { MillraceError, systemCode } from '../errors.ts'
import { scanner } from '../event/names.ts'
import { endOf, nextHead, startOf } from '../json/scanner.ts'
import { readPending } from '../log/embedded/inspect.ts'
import { printable } from '../process/printable.ts'
import { addressOf, endpoint } from './address.ts'
import { askAdmin, askAdminText } from './admin.ts'
import { listDirectory, requireLog, unreadable } from './log-directory.ts'
import { note, print } from './output.ts'

interface ListOptions {
  readonly dataDirectory: string
  /** Asks this service instead of reading the disk. Required with Kafka, which keeps nothing on disk. */
  readonly admin?: string
  readonly sink?: string
  readonly limit: number
  readonly json?: boolean
}

/** @returns whether everything could be read. */
export async function list(options: ListOptions): Promise<boolean> {
  let shown = 0
  let sound = true
  const onTrouble = (message: string) => {
    sound = false
    note(printable(message))
  }
  for await (const [sink, letter] of options.admin === undefined
    ? fromDisk(options, onTrouble)
    : fromService(options)) {
    shown += 1
    const line = options.json ? withSink(sink, letter) : describe(sink, letter)
    if (!(await print(printable(line)))) break
  }
  if (shown === 0 && !options.json) {
    const which = options.sink === undefined ? '' : ` of ${options.sink}`
    await print(printable(`no dead letters${which} in ${options.admin ?? rootOf(options)}`))
  }
  return sound
}

/** Adds the sink to a dead letter and keeps its bytes. A valid checksum does not mean that the letter is an object. */
function withSink(sink: string, letter: string): string {
  if (parsed(letter) === undefined) return JSON.stringify({ sink, unreadable: letter })
  const rest = letter.trim().slice(1)
  return `{"sink":${JSON.stringify(sink)}${rest === '}' ? '' : ','}${rest}`
}

function describe(sink: string, letter: string): string {
  const { event, offset, attempts, reason, failedAt } = parsed(letter) ?? {}
  if (typeof event !== 'object' || event === null || typeof reason !== 'string') {
    return `${sink}  no dead letter: ${parsed(letter) === undefined ? JSON.stringify({ unreadable: letter }) : letter}`
  }
  const [what] = reason.split('\n')
  return `${failedAt}  ${sink}  offset ${offset}  ${event.source} ${event.id}  after ${attempts} attempts: ${what}`
}

function parsed(letter: string): Partial<ListedLetter> | undefined {
  try {
    const value: unknown = JSON.parse(letter)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function rootOf({ dataDirectory }: ListOptions): string {
  return join(dataDirectory, 'dead-letters')
}

async function* fromDisk(options: ListOptions, onTrouble: (message: string) => void): AsyncGenerator<[string, string]> {
  const root = rootOf(options)
  for (const sink of await sinksOnDisk(options)) {
    const directory = join(root, sink)
    await requireLog(directory)
    const read = readPending(directory, REPLAY_CONSUMER, options.limit, onTrouble)
    const letters = await read.catch((error) => {
      throw unreadable(directory, error, 'name the data directory with DATA_DIR')
    })
    for (const letter of letters) yield [sink, letter]
  }
}

/**
 * @throws MillraceError DATA_DIR_UNUSABLE if no service ever used the directory; NOT_FOUND if `sink` has no dead
 *   letters.
 */
async function sinksOnDisk({ dataDirectory, sink }: ListOptions): Promise<string[]> {
  const root = join(dataDirectory, 'dead-letters')
  const known = await readdir(root, { withFileTypes: true }).catch(async (error) => {
    const fix = 'name the data directory with DATA_DIR, or a running service with --admin'
    if (systemCode(error) !== 'ENOENT') throw unreadable(root, error, fix)
    await listDirectory(dataDirectory, fix)
    await requireLog(join(dataDirectory, 'log')).catch(() => {
      throw new MillraceError('DATA_DIR_UNUSABLE', `${dataDirectory} is not a data directory of Millrace: ${fix}`)
    })
    return []
  })
  const names = known.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  if (sink === undefined) return names
  if (names.includes(sink)) return [sink]
  const fix = names.length === 0 ? 'no sink has any' : `use one of ${names.join(', ')}`
  throw new MillraceError('NOT_FOUND', `sink ${JSON.stringify(sink)} has no dead letters in ${root}: ${fix}`)
}

interface Running {
  readonly sink: string
  readonly deadLettersPending: number
}

/** All sinks of a running service, or only the wanted one. */
async function sinksOfService(admin: string, wanted: string | undefined): Promise<Running[]> {
  const { sinks } = (await askAdmin(admin, '/status', 'GET')) as { sinks?: Running[] }
  if (!Array.isArray(sinks)) throw notAdmin(admin, '/status')
  if (wanted === undefined) return sinks
  const found = sinks.filter(({ sink }) => sink === wanted)
  if (found.length > 0) return found
  const known = sinks.map(({ sink }) => sink).join(', ')
  throw new MillraceError('NOT_FOUND', `no sink ${JSON.stringify(wanted)} is running: use one of ${known}`)
}

function notAdmin(admin: string, path: string): MillraceError {
  const url = addressOf(endpoint('--admin', admin, path))
  return new MillraceError(
    'NOT_FOUND',
    `${url} does not answer as a Millrace: --admin is the address of its admin listener`,
  )
}

async function* fromService({ admin = '', sink, limit }: ListOptions): AsyncGenerator<[string, string]> {
  for (const { sink: name } of await sinksOfService(admin, sink)) {
    const path = `/dead-letters/${encodeURIComponent(name)}`
    const answer = Buffer.from(await askAdminText(admin, `${path}?limit=${limit}`, 'GET'))
    const letters: string[] = []
    const { isSound } = scanner.scan(answer, 'array', ({ places, head: first, texts }) => {
      for (let text = 0, head = first; text < texts; text++, head = nextHead(places, head)) {
        letters.push(answer.toString('utf8', startOf(places, head), endOf(places, head)))
      }
    })
    if (!isSound) throw notAdmin(admin, path)
    for (const letter of letters) yield [name, letter]
  }
}

/** @returns whether every dead letter was delivered. */
export async function replay(options: { sink?: string; admin: string }): Promise<boolean> {
  let ok = true
  for (const { sink, deadLettersPending } of await sinksOfService(options.admin, options.sink)) {
    note(printable(`${sink}: ${deadLettersPending} dead letters …`))
    const path = `/dead-letters/${encodeURIComponent(sink)}/replay`
    const { letters, failedAgain } = (await askAdmin(options.admin, path, 'POST', Number.POSITIVE_INFINITY)) as {
      letters?: number
      failedAgain?: number
    }
    if (letters === undefined || failedAgain === undefined) throw notAdmin(options.admin, path)
    await print(printable(`${sink}: ${letters - failedAgain} delivered, ${failedAgain} are dead letters again`))
    ok &&= failedAgain === 0
  }
  return ok
}
