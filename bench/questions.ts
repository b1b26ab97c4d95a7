/** All questions, in the order of the page. */
import { backlog } from './backlog.ts'
import { capacityBench } from './capacity.ts'
import { channelBench } from './channel.ts'
import { clientBench } from './client.ts'
import { cpu } from './cpu.ts'
import { kafkaBench } from './kafka.ts'
import { keysBench } from './keys.ts'
import { latency } from './latency.ts'
import { memory } from './memory.ts'
import { metricsBench } from './metrics.ts'
import { micro } from './micro.ts'
import { ndjsonCloudEvents, ndjsonSmall } from './ndjson.ts'
import { postgresBench } from './postgres.ts'
import type { Question } from './question.ts'
import { replay } from './replay.ts'
import { s3Bench } from './s3.ts'
import { singles } from './singles.ts'
import { start } from './start.ts'

/** On the page, and what a run without names runs. */
export const QUESTIONS: readonly Question[] = [
  singles,
  latency,
  ndjsonSmall,
  ndjsonCloudEvents,
  channelBench,
  cpu,
  memory,
  start,
  replay,
  backlog,
  micro,
]

/** Asked while something was decided, and run by name: their figures are in docs/decisions and docs/scaling.md. */
export const BY_NAME: readonly Question[] = [
  metricsBench,
  kafkaBench,
  postgresBench,
  s3Bench,
  capacityBench,
  clientBench,
  keysBench,
]
