/** `npm run bench [-- question …] [--smoke]`: runs the benchmarks, one file a question. */
import { cpus } from 'node:os'
import { capacityBench } from './capacity.ts'
import { channelBench } from './channel.ts'
import { kafkaBench } from './kafka.ts'
import { metricsBench } from './metrics.ts'
import { postgresBench } from './postgres.ts'
import type { Question } from './rounds.ts'

const QUESTIONS: Readonly<Record<string, Question>> = {
  channel: channelBench,
  metrics: metricsBench,
  kafka: kafkaBench,
  postgres: postgresBench,
  capacity: capacityBench,
}

const names = process.argv.slice(2).filter((name) => name !== '--smoke')
const smoke = process.argv.includes('--smoke')
const unknown = names.find((name) => !Object.hasOwn(QUESTIONS, name))
if (unknown !== undefined) {
  console.error(`no benchmark "${unknown}": use ${Object.keys(QUESTIONS).join(', ')}`)
  process.exit(2)
}
const print = (line: string) => process.stdout.write(`${line}\n`)
print(`${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`)
for (const [name, question] of Object.entries(QUESTIONS)) {
  if (names.length > 0 && !names.includes(name)) continue
  print(`\n${name}`)
  for (const line of await question(smoke)) print(line)
}
