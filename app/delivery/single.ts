/** One event without a log: as a handler would get it. For `millrace handler test` and the harness of `millrace/testing`. */
import { messageOf } from '../errors.ts'
import { faultOfText } from '../event/check.ts'
import { scanner } from '../event/names.ts'
import { decode } from './decode.ts'
import { Task } from './task.ts'

/** In the ids of events that came without one. */
const LOG_ID = 'test'

/**
 * @param text of one event, as it would be sent.
 * @param offset that it would have in the log.
 * @returns the event, or why it is invalid.
 */
export function taskOf(text: Buffer, offset: number): Task | string {
  let fault: string | undefined
  const { isSound } = scanner.scan(text, 'one', ({ places, head, base }) => {
    fault = faultOfText(text, base, places, head, 'lenient')
  })
  if (!isSound) return whyMalformed(text)
  if (fault !== undefined) return fault
  const payload = Buffer.concat([text, Buffer.from('\n')])
  const origin = { logId: LOG_ID, partition: 0, baseOffset: offset, appendedAtMs: Date.now() }
  const [block] = decode({ ...origin, count: 1, payload })
  return block === undefined ? 'no event' : new Task(block, 0)
}

function whyMalformed(text: Buffer): string {
  try {
    JSON.parse(text.toString())
  } catch (error) {
    return messageOf(error)
  }
  return 'malformed JSON'
}
