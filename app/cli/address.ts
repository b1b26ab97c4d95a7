/** The address of a running service, as given to a command, and a check that a Millrace answers there. */
import { MillraceError, messageOf } from '../errors.ts'
import { printable } from '../process/printable.ts'

/** How much of a foreign answer a message shows. */
const MAX_SHOWN_CHARACTERS = 100

/**
 * Appends `path` to a given address: after its own path, for a service behind a proxy, and keeps its query.
 * @param option name of the option for messages, such as `--url`.
 * @throws MillraceError CONFIG_INVALID
 */
export function endpoint(option: string, given: string, path: string): URL {
  const shown = JSON.stringify(printable(given))
  const fail = (problem: string) => new MillraceError('CONFIG_INVALID', `${option} ${shown} ${problem}`)
  const url = URL.parse(given)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw fail('is no URL that begins with http:// or https://, such as http://127.0.0.1:3000 or http://[::1]:3000')
  }
  if (url.username !== '' || url.password !== '') {
    throw new MillraceError(
      'CONFIG_INVALID',
      `${option} holds a user or a password, which no request can carry: leave it out`,
    )
  }
  const base = url.pathname.replace(/\/+$/, '')
  url.pathname = base.endsWith(path) ? base : base + path
  url.hash = ''
  return url
}

/** `http://host:port`, the address at which this machine reaches that listener. */
export function localUrl(host: string, port: string): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`
}

/**
 * Checks a value for a header, such as a key.
 * @throws MillraceError CONFIG_INVALID, without the value in its message.
 */
export function requireHeaderText(name: string, text: string): string {
  if (/^[\x21-\x7e]+$/.test(text)) return text
  throw new MillraceError(
    'CONFIG_INVALID',
    `${name}: it holds a space, a line feed or another character that no key has`,
  )
}

/** Describes an answer that does not come from a Millrace, for a message. */
export function notOurs(url: URL, response: Response, text: string): string {
  const type = response.headers.get('content-type') ?? 'no content type'
  const location = response.headers.get('location')
  const where = location === null ? '' : ` and sends on to ${location}`
  const begins = text.trim() === '' ? '' : `, beginning ${JSON.stringify(text.trim().slice(0, MAX_SHOWN_CHARACTERS))}`
  return printable(`${addressOf(url)} is not a Millrace: it answered ${response.status} ${type}${where}${begins}`)
}

/** The URL without its query, which may hold a secret. */
export function addressOf({ origin, pathname }: URL): string {
  return origin + pathname
}

/** The reason of an error of fetch, in a few words. */
export function reasonOf(error: unknown): string {
  return messageOf(error instanceof Error ? (error.cause ?? error) : error)
}
