/**
 * `millrace handler test`: runs handlers over the events of a file, without a service. Prints input, output, errors.
 */
import { loadConfigFile } from '../config-file/load.ts'
import { handleBatch } from '../delivery/handle.ts'
import { taskOf } from '../delivery/single.ts'
import type { Handler } from '../handlers/handler.ts'
import { pickFrom, startThreads } from '../handlers/pick.ts'
import { printable, printableLines } from '../process/printable.ts'
import { openInput, readEvents } from './input.ts'
import { note, print } from './output.ts'

export interface HandlerTestOptions {
  /** File with events, in any format that `millrace send` accepts. */
  readonly file: string
  readonly handlers: readonly string[]
  /** Time limit for one call of one handler. */
  readonly timeoutMs: number
  /** Worker threads for the handlers; 0: the main thread. */
  readonly threads: number
  /** The value of `--config`. */
  readonly config?: string | undefined
}

/** @returns whether no event was invalid and no handler failed. */
export async function testHandlers(options: HandlerTestOptions): Promise<boolean> {
  const file = await loadConfigFile({ named: options.config })
  const threads = await startThreads(options.threads, file, (message) => note(printable(message)))
  try {
    return await run(options.file, pickFrom(file, threads)(options.handlers, options.timeoutMs))
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
    const task = bytes === undefined ? problem : taskOf(bytes, number - 1)
    if (typeof task === 'string') {
      counts.failed += 1
      await printOthersWords(`line ${number} is no event: ${task}`)
      continue
    }
    await printOthersWords(`in   ${task.json}`)
    const failure = (await handleBatch([task], options)).get(task)
    if (failure !== undefined) {
      counts.failed += 1
      await print(printableLines(`fail ${failure}`)) // includes the stack
    } else if (task.outputs?.length === 0) {
      counts.dropped += 1
      await printOthersWords('drop')
    }
    for (const output of task.outputs ?? []) {
      counts.out += 1
      await printOthersWords(`out  ${output.json}`)
    }
  }
  await print(`${counts.in} in, ${counts.out} out, ${counts.dropped} dropped, ${counts.failed} failed`)
  return counts.failed === 0
}

/** Prints text that others wrote (events, reasons, stacks) without control characters. */
async function printOthersWords(line: string): Promise<void> {
  await print(printable(line))
}
