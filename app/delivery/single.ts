/** Makes the task of one event without a log, for `millrace handler test` and the harness of `millrace/testing`. */
import { messageOf } from '../errors.ts'
import { faultOfText } from '../event/check.ts'
import { scanner } from '../event/names.ts'
import { decode } from './decode.ts'
import { Task } from './task.ts'

/** Log id in the ids of events without an id. */
const LOG_ID = 'test'

/**
 * @param text JSON of one event, as a client would send it.
 * @param offset the offset that it would have in the log.
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
