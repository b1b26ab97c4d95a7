/** Requests of commands to the admin listener of a running service. */
import { ADMIN_HEADER } from '../admin/server.ts'
import { settingOf } from '../environment.ts'
import { MillraceError, systemCode } from '../errors.ts'
import { addressOf, endpoint, notOurs, reasonOf, requireHeaderText } from './address.ts'

/** Time limit for an answer that needs no work. */
const ANSWER_WITHIN_MS = 30_000

/** The answer of {@link askAdminText}, parsed. */
export async function askAdmin(...asked: Parameters<typeof askAdminText>): Promise<unknown> {
  return JSON.parse(await askAdminText(...asked))
}

/**
 * Sends a request and returns its JSON text. Accepts only the answer of a Millrace.
 * @param withinMs time limit for the whole answer. Infinity: only Node's limit of five minutes for the first byte.
 *   Default: {@link ANSWER_WITHIN_MS}.
 */
export async function askAdminText(
  base: string,
  path: string,
  method: 'GET' | 'POST',
  withinMs: number = ANSWER_WITHIN_MS,
): Promise<string> {
  const url = endpoint('--admin', base, path.split('?')[0] ?? path)
  const query = path.split('?')[1]
  if (query !== undefined) url.search = query
  const { text: token } = settingOf(process.env, 'ADMIN_TOKEN')
  const headers = {
    [ADMIN_HEADER]: '1',
    ...(token && { authorization: `Bearer ${requireHeaderText('ADMIN_TOKEN', token)}` }),
  }
  let response: Response
  let text: string
  try {
    const signal = Number.isFinite(withinMs) ? AbortSignal.timeout(withinMs) : null
    response = await fetch(url, { method, headers, redirect: 'manual', signal })
    text = await response.text()
  } catch (error) {
    if (systemCode(error instanceof Error ? error.cause : undefined) === 'UND_ERR_HEADERS_TIMEOUT') {
      const fix = 'see what is left with `millrace dlq list`'
      throw new MillraceError('NOT_FOUND', `${addressOf(url)} is still at it after five minutes, and goes on: ${fix}`)
    }
    const fix = 'start it, or name it with --admin'
    throw new MillraceError('NOT_FOUND', `no service answers on ${addressOf(url)} (${reasonOf(error)}): ${fix}`)
  }
  const answer = parse(text)
  if (answer === undefined) throw new MillraceError('NOT_FOUND', notOurs(url, response, text))
  if (response.ok) return text
  const { detail, reason } = answer as { detail?: unknown; reason?: unknown }
  const why = detail ?? reason
  if (typeof why !== 'string') throw new MillraceError('NOT_FOUND', notOurs(url, response, text))
  throw new MillraceError('NOT_FOUND', `${addressOf(url)} answered ${response.status}: ${why}`)
}

function parse(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
