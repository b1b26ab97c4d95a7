/** `millrace dlq …`: lists dead letters from disk, replays them through the running service (it is the one writer). */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ADMIN_HEADER } from '../admin/server.ts'
import { type DeadLetter, REPLAY_CONSUMER } from '../delivery/dead-letters.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { readPending } from '../log/embedded/inspect.ts'

export async function list(options: {
  dataDirectory: string
  sink?: string
  limit: number
  json?: boolean
}): Promise<boolean> {
  const root = join(options.dataDirectory, 'dead-letters')
  const sinks = options.sink === undefined ? directories(root) : [options.sink]
  let shown = 0
  for (const sink of sinks) {
    for (const letter of (await readPending(join(root, sink), REPLAY_CONSUMER, options.limit)) as DeadLetter[]) {
      shown += 1
      const { event, offset, attempts, reason, failedAt } = letter
      if (options.json) print(JSON.stringify({ sink, ...letter }))
      else
        print(
          `${failedAt}  ${sink}  offset ${offset}  ${event.source} ${event.id}  after ${attempts} attempts: ${reason.split('\n')[0]}`,
        )
    }
  }
  if (shown === 0 && !options.json) print(`no dead letters in ${root}`)
  return true
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
