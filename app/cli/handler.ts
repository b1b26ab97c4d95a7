/** `millrace handler test`: what handlers make of events in a file, without a service: in → out, and what failed. */
import { handleBatch, type Task } from '../delivery/handle.ts'
import { messageOf } from '../errors.ts'
import { complete, type ReceivedEvent, validate } from '../event.ts'
import type { Handler } from '../handlers/handler.ts'
import { pickFrom, startThreads } from '../handlers/pick.ts'
import { printable, printableLines } from '../process/printable.ts'
import { openInput, readEvents } from './input.ts'
import { note, print } from './output.ts'

export interface HandlerTestOptions {
  /** As it would be sent. */
  readonly file: string
  readonly handlers: readonly string[]
  /** For one call of one handler. */
  readonly timeoutMs: number
  /** Worker threads that they run on; 0: none. */
  readonly threads: number
}

/** In the ids of events that came without one. */
const LOG_ID = 'test'

/** @returns whether no event was invalid and no handler failed. */
export async function testHandlers(options: HandlerTestOptions): Promise<boolean> {
  const threads = await startThreads(options.threads, (message) => note(printable(message)))
  try {
    return await run(options.file, pickFrom(threads)(options.handlers, options.timeoutMs))
  } finally {
    await threads?.close()
  }
}

async function run(file: string, handlers: readonly Handler[]): Promise<boolean> {
  const { signal } = new AbortController()
  const options = { handlers, concurrency: 1, sink: 'test', signal }
  const counts = { in: 0, out: 0, dropped: 0, failed: 0 }
  const { stream, name } = openInput(file)
  for await (const { line: number, bytes, problem = '' } of readEvents(stream, name)) {
    counts.in += 1
    const event = bytes === undefined ? problem : parse(bytes.toString(), number)
    if (typeof event === 'string') {
      counts.failed += 1
      await printOthersWords(`line ${number} is no event: ${event}`)
      continue
    }
    const item = { event, logId: LOG_ID, offset: number - 1, appendedAtMs: Date.now() }
    const task: Task = {
      ...item,
      progress: undefined,
      letter: undefined,
      fault: undefined,
      bytes: 0,
      attempts: 0,
      outputs: undefined,
    }
    await printOthersWords(`in   ${JSON.stringify(event)}`)
    const failure = (await handleBatch([task], options)).get(task)
    if (failure !== undefined) {
      counts.failed += 1
      await print(printableLines(`fail ${failure}`)) // with its stack
    } else if (task.outputs?.length === 0) {
      counts.dropped += 1
      await printOthersWords('drop')
    }
    for (const output of task.outputs ?? []) {
      counts.out += 1
      await printOthersWords(`out  ${JSON.stringify(output)}`)
    }
  }
  await print(`${counts.in} in, ${counts.out} out, ${counts.dropped} dropped, ${counts.failed} failed`)
  return counts.failed === 0
}

/** The event as a handler would get it, or why it is none. */
function parse(line: string, number: number) {
  let received: ReceivedEvent
  try {
    received = JSON.parse(line)
  } catch (error) {
    return messageOf(error)
  }
  const reason = validate(received)
  if (reason !== undefined) return reason
  return complete(received, { logId: LOG_ID, offset: number - 1, appendedAt: new Date().toISOString() })
}

/** Events, reasons and stacks are others' words. */
async function printOthersWords(line: string): Promise<void> {
  await print(printable(line))
}
