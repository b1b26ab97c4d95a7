/**
 * `millrace dlq …`: lists dead letters, from disk or from the running service, and replays them through the service (it is
 * the one writer).
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ADMIN_HEADER } from '../admin/server.ts'
import { type DeadLetter, REPLAY_CONSUMER } from '../delivery/dead-letters.ts'
import { MillraceError, messageOf, systemCode } from '../errors.ts'
import { readPending } from '../log/embedded/inspect.ts'

interface ListOptions {
  readonly dataDirectory: string
  /** Asks this service instead of the disk: with Kafka there is nothing on disk. */
  readonly admin?: string
  readonly sink?: string
  readonly limit: number
  readonly json?: boolean
}

export async function list(options: ListOptions): Promise<boolean> {
  let shown = 0
  for await (const [sink, letter] of options.admin === undefined ? fromDisk(options) : fromService(options)) {
    shown += 1
    print(options.json ? JSON.stringify({ sink, ...letter }) : describe(sink, letter))
  }
  if (shown === 0 && !options.json) print(`no dead letters in ${options.admin ?? rootOf(options)}`)
  return true
}

function describe(sink: string, letter: DeadLetter): string {
  const { event, offset, attempts, reason, failedAt } = letter
  // Sound by its checksum, and still nothing that this program has written.
  if (event === undefined || reason === undefined) return `${sink}  no dead letter: ${JSON.stringify(letter)}`
  const [what] = reason.split('\n')
  return `${failedAt}  ${sink}  offset ${offset}  ${event.source} ${event.id}  after ${attempts} attempts: ${what}`
}

function rootOf({ dataDirectory }: ListOptions): string {
  return join(dataDirectory, 'dead-letters')
}

async function* fromDisk(options: ListOptions): AsyncGenerator<[string, DeadLetter]> {
  const root = rootOf(options)
  for (const sink of options.sink === undefined ? directories(root) : [options.sink]) {
    const letters = (await readPending(join(root, sink), REPLAY_CONSUMER, options.limit)) as DeadLetter[]
    for (const letter of letters) yield [sink, letter]
  }
}

async function* fromService({ admin = '', sink, limit }: ListOptions): AsyncGenerator<[string, DeadLetter]> {
  const { sinks } = (await ask(admin, '/status', 'GET')) as { sinks: { sink: string }[] }
  for (const name of sink === undefined ? sinks.map((known) => known.sink) : [sink]) {
    const letters = (await ask(admin, `/dead-letters/${name}?limit=${limit}`, 'GET')) as DeadLetter[]
    for (const letter of letters) yield [name, letter]
  }
}

export async function replay(options: { sink?: string; admin: string }): Promise<boolean> {
  const { sinks } = (await ask(options.admin, '/status', 'GET')) as {
    sinks: { sink: string; deadLettersPending: number }[]
  }
  const known = sinks.map(({ sink }) => sink)
  if (options.sink !== undefined && !known.includes(options.sink)) {
    throw new MillraceError('CONFIG_INVALID', `no sink "${options.sink}" is running: use one of ${known.join(', ')}`)
  }
  let ok = true
  for (const { sink, deadLettersPending } of sinks) {
    if (options.sink !== undefined && options.sink !== sink) continue
    process.stderr.write(`${sink}: ${deadLettersPending} dead letters …\n`)
    const result = (await ask(options.admin, `/dead-letters/${sink}/replay`, 'POST')) as {
      letters: number
      failedAgain: number
    }
    print(`${sink}: ${result.letters - result.failedAgain} delivered, ${result.failedAgain} are dead letters again`)
    ok &&= result.failedAgain === 0
  }
  return ok
}

async function ask(base: string, path: string, method: string): Promise<unknown> {
  let response: Response
  try {
    const { ADMIN_TOKEN: token } = process.env
    const headers = { [ADMIN_HEADER]: '1', ...(token && { authorization: `Bearer ${token}` }) }
    response = await fetch(new URL(path, base), { method, headers })
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error
    if (systemCode(cause) === 'UND_ERR_HEADERS_TIMEOUT') {
      throw new Error(
        `${base} is still at it after five minutes, and goes on: see what is left with \`millrace dlq list\``,
      )
    }
    throw new MillraceError(
      'LISTEN_FAILED',
      `no service answers on ${base} (${messageOf(cause)}): start it, or name it with --admin`,
    )
  }
  const answer = (await response.json()) as { detail?: string; reason?: string }
  if (!response.ok) throw new Error(answer.detail ?? answer.reason ?? `${response.status}`)
  return answer
}

function directories(root: string): string[] {
  try {
    return readdirSync(root)
  } catch {
    return []
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
