/** An S3 on this machine, with a line to it that can be cut, and DuckDB to read what is there. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import { decompressZstd } from '../../app/http/zstd.ts'
import { freePorts } from './ports.ts'

/** A Python with moto and DuckDB: MILLRACE_PYTHON, or the one on the PATH. */
const python = process.env.MILLRACE_PYTHON ?? 'python3'
const REGION = 'eu-central-1'
export const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local', AWS_REGION: REGION }

/** Why these tests cannot run here, or undefined. */
export function missingS3(): string | undefined {
  return missingModule('moto.server', "'moto[server]'")
}

export function missingDuckDb(): string | undefined {
  return missingModule('duckdb', 'duckdb')
}

function missingModule(module: string, install: string): string | undefined {
  if (spawnSync(python, ['-c', `import ${module}`]).status === 0) return undefined
  return `${python} has no ${module}: pip install ${install}, and name that Python in MILLRACE_PYTHON`
}

export interface LocalS3 {
  /** For the service. */
  readonly environment: Record<string, string>
  /** Cuts every connection and refuses new ones, until joined. */
  cut(): void
  join(): void
  /** Stops the server where it is (SIGSTOP), until continued. */
  pause(): void
  resume(): void
  /** Keys below a prefix. */
  list(prefix?: string): Promise<{ key: string; bytes: number; etag: string }[]>
  read(key: string): Promise<Buffer>
  head(key: string): Promise<{ ServerSideEncryption?: string; SSEKMSKeyId?: string }>
  /** Requests that have come through the line, and bytes sent on it. */
  readonly sentBytes: () => number
  stop(): Promise<void>
}

export async function startS3(bucket = 'events-test'): Promise<LocalS3> {
  const [port = 0] = await freePorts(1)
  const child: ChildProcess = spawn(python, ['-c', `from moto.server import main; main(['-p', '${port}'])`], {
    stdio: 'ignore',
    env: { ...process.env, MOTO_S3_DEFAULT_MAX_KEYS: '10000' },
  })
  const direct = `http://127.0.0.1:${port}`
  const deadline = performance.now() + 30_000
  while (!(await fetch(direct).catch(() => undefined))) {
    if (performance.now() > deadline) throw new Error('moto did not start within 30 s')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const line = await startLine(port)
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const client = new S3Client({ endpoint: direct, region: REGION, forcePathStyle: true, credentials })
  await client.send(
    new CreateBucketCommand({ Bucket: bucket, CreateBucketConfiguration: { LocationConstraint: REGION } }),
  )
  return {
    environment: {
      ...CREDENTIALS,
      SINKS: 's3',
      S3_SINK_BUCKET: bucket,
      S3_SINK_ENDPOINT: `http://127.0.0.1:${line.port}`,
    },
    cut: line.cut,
    join: line.join,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async list(prefix = '') {
      const found: { key: string; bytes: number; etag: string }[] = []
      for (let token: string | undefined; ; ) {
        const page = await client.send(
          new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }),
        )
        for (const { Key = '', Size = 0, ETag = '' } of page.Contents ?? []) {
          found.push({ key: Key, bytes: Size, etag: ETag })
        }
        token = page.NextContinuationToken
        if (token === undefined) return found
      }
    },
    async read(key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      return Buffer.from((await Body?.transformToByteArray()) ?? [])
    },
    head: (key) => client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })) as ReturnType<LocalS3['head']>,
    sentBytes: line.sentBytes,
    async stop() {
      client.destroy()
      line.close()
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Passes bytes on to `target` on this machine while it is joined. */
async function startLine(target: number) {
  let joined = true
  let sentBytes = 0
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    if (!joined) return socket.destroy()
    const out = connect(target, '127.0.0.1')
    for (const end of [socket, out]) {
      sockets.add(end)
      end.on('error', () => undefined)
      end.on('close', () => {
        sockets.delete(end)
        socket.destroy()
        out.destroy()
      })
    }
    socket.on('data', (chunk) => (sentBytes += chunk.length))
    socket.pipe(out)
    out.pipe(socket)
    return undefined
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    joined = false
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as { port: number }).port,
    cut,
    join: () => {
      joined = true
    },
    sentBytes: () => sentBytes,
    close: () => {
      cut()
      server.close()
    },
  }
}

/** The events in objects, in the order of keys. */
export async function eventsIn(s3: LocalS3, prefix?: string): Promise<{ id: string; type: string }[]> {
  return (await linesIn(s3, prefix)).map((line) => JSON.parse(line))
}

/** The same as they stand there. */
export async function linesIn(s3: LocalS3, prefix = 'events/type='): Promise<string[]> {
  const lines: string[] = []
  for (const { key } of await s3.list(prefix)) {
    const bytes = await s3.read(key)
    // zstdDecompressSync stops behind the first frame.
    const text = (key.endsWith('.zst') ? await decompressZstd(bytes, {}) : gunzipSync(bytes)).toString()
    lines.push(...text.trimEnd().split('\n'))
  }
  return lines
}

/** Copies objects into a directory and asks DuckDB, which sees them as the table `events`; rows as JSON. */
export async function askDuckDb(s3: LocalS3, directory: string, sql: string): Promise<Record<string, unknown>[]> {
  for (const { key } of await s3.list('events/type=')) {
    const path = join(directory, key)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, await s3.read(key))
  }
  const script = [
    'import duckdb, json, sys',
    // Nothing but the rows: a query of some seconds shows its progress on standard output.
    'duckdb.sql("SET enable_progress_bar = false")',
    `rows = duckdb.sql("""CREATE VIEW events AS SELECT * FROM read_json('" + sys.argv[1] + "', hive_partitioning = true)""".replace('" + sys.argv[1] + "', sys.argv[1]))`,
    'result = duckdb.sql(sys.argv[2])',
    'print(json.dumps([dict(zip(result.columns, row)) for row in result.fetchall()], default=str))',
  ].join('\n')
  const { status, stdout, stderr } = spawnSync(
    python,
    ['-c', script, join(directory, 'events/*/*/*/*.ndjson.*'), sql],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  )
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}
