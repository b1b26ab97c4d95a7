/** The real service around Kafka: `ingest` and `deliver` as processes, and what the deliver processes wrote. */
import { createReadStream, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Kafka } from './kafka.ts'
import { type Service, startService } from './service.ts'
import { temporaryDirectory } from './temporary.ts'

/** A start in the middle of a failover waits for it. */
const READY_WITHIN_MS = 30_000

export interface Process extends Service {
  readonly directory: string
}

/** @param environment beside what names the brokers and the topic. */
export async function startRole(
  kafka: Kafka,
  role: 'all' | 'ingest' | 'deliver',
  environment: Record<string, string>,
): Promise<Process> {
  const directory = temporaryDirectory()
  const copies = Math.min(3, kafka.nodes.length)
  const variables = {
    ROLE: role,
    LOG_ENGINE: 'kafka',
    KAFKA_BROKERS: kafka.brokers.join(),
    KAFKA_CREATE_TOPICS: 'true',
    KAFKA_PARTITIONS: '12',
    KAFKA_REPLICATION: String(copies),
    KAFKA_MIN_IN_SYNC: String(Math.min(2, copies)),
    KAFKA_REQUEST_TIMEOUT_MS: '2000',
    SHUTDOWN_DRAIN_MS: '2000',
    ...environment,
  }
  return { ...(await startService(directory, variables, { readyWithinMs: READY_WITHIN_MS })), directory }
}

interface Delivered {
  readonly id: string
  readonly subject: string
  readonly data: { readonly seq: number }
}

/** Every event that a process has written with its file sink, in its order, one at a time. */
export async function* deliveredBy({ directory }: Process): AsyncGenerator<Delivered> {
  const root = join(directory, 'data/delivered')
  if (!existsSync(root)) return
  const files = readdirSync(root).filter((name) => name.startsWith('events-') && name.endsWith('.ndjson'))
  files.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
  for (const file of [...files, 'current.ndjson']) {
    if (!existsSync(join(root, file))) continue
    for await (const line of createInterface({ input: createReadStream(join(root, file)) })) {
      if (line.endsWith('}')) yield JSON.parse(line)
    }
  }
}

/** What several processes delivered together. */
export class Oracle {
  readonly delivered = new Set<string>()
  repeated = 0
  /** Events that came to a process after a later one of the same subject, and had not come to it before. */
  disordered = 0

  async read(process: Process): Promise<void> {
    const here = new Set<string>()
    const last = new Map<string, number>()
    for await (const { id, subject, data } of deliveredBy(process)) {
      if (this.delivered.has(id) || here.has(id)) this.repeated += 1
      if (!here.has(id)) {
        if (data.seq < (last.get(subject) ?? -1)) this.disordered += 1
        last.set(subject, Math.max(data.seq, last.get(subject) ?? -1))
      }
      here.add(id)
    }
    for (const id of here) this.delivered.add(id)
  }
}
