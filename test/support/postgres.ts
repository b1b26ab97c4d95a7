/** A PostgreSQL on this machine, started from its own binaries, whose processes can be killed and stopped. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { freePorts } from './ports.ts'

const PASSWORD = 'a-password-of-the-tests'

/** Of the newest version that is here: Debian keeps them off the PATH. */
function binaries(): string | undefined {
  const onPath = (process.env.PATH ?? '').split(':').find((directory) => existsSync(join(directory, 'initdb')))
  if (onPath !== undefined) return onPath
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  return versions.map((version) => join(debian, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')))
}

/** Why these tests cannot run here, or undefined. */
export function missingPostgres(): string | undefined {
  return binaries() === undefined ? 'there is no PostgreSQL: apt-get install postgresql' : undefined
}

/** It refuses to run as root: then as the user its package made. */
function user(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

export class Postgres {
  readonly url: string
  readonly directory: string
  readonly #bin: string
  readonly #port: number
  #child: ChildProcess | undefined
  #pool: pg.Pool | undefined

  private constructor(bin: string, directory: string, port: number) {
    this.#bin = bin
    this.#port = port
    this.directory = directory
    this.url = `postgres://millrace:${PASSWORD}@127.0.0.1:${port}/millrace`
  }

  /** @param tls with a certificate of its own (`ca.pem` in its directory), and for nobody without. */
  static async start({ tls = false } = {}): Promise<Postgres> {
    const bin = binaries()
    if (bin === undefined) throw new Error(missingPostgres())
    const [port = 0] = await freePorts(1)
    const directory = mkdtempSync(join(tmpdir(), 'millrace-postgres-'))
    const owner = user()
    if (owner) chownSync(directory, owner.uid, owner.gid)
    const data = join(directory, 'data')
    const passwordFile = join(directory, 'password')
    writeFileSync(passwordFile, PASSWORD)
    const initdb = ['-D', data, '-U', 'millrace', '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8', '-N']
    execFileSync(join(bin, 'initdb'), initdb, { ...owner, stdio: 'ignore' })
    if (tls) await makeCertificate(directory, data, owner)
    const postgres = new Postgres(bin, directory, port)
    await postgres.restart()
    await postgres.query('CREATE DATABASE millrace', 'postgres')
    return postgres
  }

  /** Starts it, or starts it again after a kill, and waits until it answers. */
  async restart(): Promise<void> {
    const settings = ['listen_addresses=127.0.0.1', `port=${this.#port}`, `unix_socket_directories=${this.directory}`]
    const child = spawn(
      join(this.#bin, 'postgres'),
      ['-D', join(this.directory, 'data'), ...settings.flatMap((setting) => ['-c', setting])],
      { ...user(), stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let output = ''
    child.stderr.setEncoding('utf8').on('data', (text) => (output = (output + text).slice(-4000)))
    this.#child = child
    const deadline = performance.now() + 30_000
    for (;;) {
      const error = await this.query('SELECT 1', 'postgres').then(
        () => undefined,
        (cause) => cause,
      )
      if (error === undefined) return
      if (performance.now() > deadline) throw new Error(`PostgreSQL did not start:\n${output}`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** The whole server at once, as a machine that loses its power does it: its children notice and end. */
  async kill(): Promise<void> {
    const { pids } = this
    if (pids.length === 0) return
    const ended = new Promise((resolve) => this.#child?.once('exit', resolve))
    for (const pid of pids) signal(pid, 'SIGKILL')
    await ended
    while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  /** Stops every process of it where it is: connections stay, nothing answers. */
  pause(): void {
    for (const pid of this.pids) signal(pid, 'SIGSTOP')
  }

  resume(): void {
    for (const pid of this.pids) signal(pid, 'SIGCONT')
  }

  /** Its first process, then the others. */
  get pids(): number[] {
    const first = this.#child?.pid ?? 0
    if (!isAlive(first)) return []
    const children = readFileSync(`/proc/${first}/task/${first}/children`, 'utf8').trim().split(' ')
    return [first, ...children.filter(Boolean).map(Number)]
  }

  async query<Row extends pg.QueryResultRow>(sql: string, database = 'millrace'): Promise<Row[]> {
    const url = new URL(this.url)
    url.pathname = database
    const ca = join(this.directory, 'ca.pem')
    const client = new pg.Client({
      connectionString: url.href,
      connectionTimeoutMillis: 5000,
      ...(existsSync(ca) && { ssl: { ca: readFileSync(ca, 'utf8') } }),
    })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return (await client.query<Row>(sql)).rows
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  /** Connections for whoever asks more than once. */
  get pool(): pg.Pool {
    this.#pool ??= new pg.Pool({ connectionString: this.url, max: 4 })
    return this.#pool
  }

  async stop(): Promise<void> {
    await this.#pool?.end()
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      this.resume()
      child.kill('SIGQUIT')
      await ended
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}

async function makeCertificate(directory: string, data: string, owner = { uid: 0, gid: 0 }): Promise<void> {
  const key = join(data, 'server.key')
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const out = ['-keyout', key, '-out', join(directory, 'ca.pem'), '-days', '2']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject, ...out], { stdio: 'ignore' })
  if (process.getuid?.() === 0) chownSync(key, owner.uid, owner.gid)
  const settings = ['ssl=on', `ssl_cert_file='${join(directory, 'ca.pem')}'`, "ssl_key_file='server.key'"]
  writeFileSync(join(data, 'postgresql.conf'), `${settings.join('\n')}\n`, { flag: 'a' })
  writeFileSync(join(data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 scram-sha-256\n')
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {} // ended by itself
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
