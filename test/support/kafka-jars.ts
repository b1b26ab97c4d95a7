/**
 * Apache Kafka as Maven Central has it: kafka_2.13 with everything it needs at run time, each file by its checksum
 * (kafka-jars.json, from `mvn dependency:copy-dependencies` of that one artifact and slf4j-simple).
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import jars from './kafka-jars.json' with { type: 'json' }

const REPOSITORY = process.env.MAVEN_REPOSITORY_URL ?? 'https://repo1.maven.org/maven2'
const VERSION = /kafka_2\.13\/([^/]+)\//.exec(Object.keys(jars).join(' '))?.[1] ?? ''
const CACHE = join(
  process.env.KAFKA_JARS ?? resolve(import.meta.dirname, '../../node_modules/.cache/millrace-kafka'),
  VERSION,
)
const AT_ONCE = 6
const ATTEMPTS = 3

/** Downloads what is missing; the directory of the files. */
export async function kafkaJars(): Promise<string> {
  mkdirSync(CACHE, { recursive: true })
  const missing = Object.entries(jars).filter(([path]) => !existsSync(join(CACHE, basename(path))))
  if (missing.length > 0) process.stderr.write(`downloading ${missing.length} files of Apache Kafka …\n`)
  const waiting = missing.values()
  const worker = async () => {
    for (const [path, sha256] of waiting) await download(path, sha256)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return CACHE
}

async function download(path: string, sha256: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await downloadOnce(path, sha256)
    } catch (error) {
      if (attempt === ATTEMPTS) throw error
    }
  }
}

async function downloadOnce(path: string, sha256: string): Promise<void> {
  const url = `${REPOSITORY}/${path}`
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url}: ${response.status}; set MAVEN_REPOSITORY_URL to a mirror that has it`)
  const bytes = Buffer.from(await response.arrayBuffer())
  const found = createHash('sha256').update(bytes).digest('hex')
  if (found !== sha256) throw new Error(`${url} has the checksum ${found}, not ${sha256}`)
  const file = join(CACHE, basename(path))
  writeFileSync(`${file}.${process.pid}.part`, bytes)
  renameSync(`${file}.${process.pid}.part`, file)
}
