/**
 * A verified request → one CloudEvent around its body:
 *
 *     id      the provider's own, so that a repeated delivery is the same event
 *     source  /hooks/<name>
 *     type    github.push
 *     time    when it was signed, else when it was received
 *     data    the bytes of the body as they are, if they are JSON; else data_base64
 */
import { isUtf8 } from 'node:buffer'
import { rawMembers } from '../event/attributes.ts'
import { writeEvent } from '../event/complete.ts'
import { scanner } from '../event/names.ts'
import { isWholeNumber } from '../event.ts'
import type { Headers } from '../http/binary-mode.ts'
import { type Body, readEvents, type Wanted } from '../http/checked-events.ts'
import { Refusal } from '../http/problem.ts'
import type { OpenHook } from './hook.ts'
import type { Field } from './scheme.ts'

const QUOTE = 0x22

/**
 * @param body inflated.
 * @param signedAtMs what `verify` returned.
 * @throws MillraceError NO_VALID_EVENT when a value from a header or the body cannot be an attribute.
 */
export function eventOfHook(
  hook: OpenHook,
  body: Buffer,
  { headers }: Headers,
  signedAtMs: number | undefined,
  wanted: Wanted,
): Body {
  const { fields, typePrefix } = hook
  const read = (field: Field | undefined) => textAt(field, headers, body)
  const id = read(fields.id)
  const name = read(fields.type) ?? read(fields.otherType)
  const isData = isJson(body)
  const event = {
    // Without an id, the log completes the event, so that the same input always gets the same id.
    ...(id !== undefined && { specversion: '1.0', id }),
    source: `/hooks/${hook.name}`,
    type: name === undefined ? typePrefix : `${typePrefix}.${name}`,
    time: new Date(signedAtMs ?? Date.now()).toISOString(),
    ...(headers['content-type'] !== undefined && { datacontenttype: headers['content-type'] }),
    ...extensionsOf(hook, headers),
    ...(!isData && { data_base64: body.toString('base64') }),
  }
  const events = readEvents(writeEvent(event, isData ? body : undefined), 'one', 'lenient', wanted)
  if (events === undefined) throw new Error('the assembled event is not JSON')
  const [fault] = events.rejected
  if (fault) throw new Refusal('NO_VALID_EVENT', `event 0: ${fault.reason}`, events.rejected)
  return events
}

/** Whether a body can be `data` unchanged. */
function isJson(body: Buffer): boolean {
  return isUtf8(body) && scanner.scan(body, 'one', () => undefined).isSound
}

function extensionsOf({ extensions }: OpenHook, headers: Headers['headers']): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [name, header] of Object.entries(extensions)) {
    const value = headers[header]
    if (typeof value === 'string' && value !== '') found[name] = value
  }
  return found
}

/** A string or a whole number, as text; undefined if there is neither. */
export function textAt(field: Field | undefined, headers: Headers['headers'], body: Buffer): string | undefined {
  if (field === undefined) return undefined
  if ('header' in field) {
    const value = headers[field.header]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  let raw: Buffer | undefined = isUtf8(body) ? body : undefined
  for (const name of field.member.split('.')) raw = raw && rawMembers(raw)?.get(name)
  if (raw === undefined) return undefined
  const text = raw.toString()
  if (raw[0] !== QUOTE) return isWholeNumber(text) ? text : undefined
  return (JSON.parse(text) as string) || undefined
}
