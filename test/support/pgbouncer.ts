/** A PgBouncer in front of a PostgreSQL of the tests, with its defaults but for where it is and whom it lets in. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from './ports.ts'

const PATH = `${process.env.PATH}:/usr/sbin`

/** Why these tests cannot run here, or undefined. */
export function missingPgBouncer(): string | undefined {
  const { status } = spawnSync('pgbouncer', ['--version'], { env: { ...process.env, PATH } })
  return status === 0 ? undefined : 'there is no PgBouncer: apt-get install pgbouncer'
}

export interface PgBouncer {
  readonly url: string
  stop(): Promise<void>
}

/** @param databaseUrl where it leads to. @param poolMode a connection of the server for each session, or for each transaction. */
export async function startPgBouncer(databaseUrl: string, poolMode: 'session' | 'transaction'): Promise<PgBouncer> {
  const { hostname, port: databasePort, username, password } = new URL(databaseUrl)
  const [port = 0] = await freePorts(1)
  const directory = mkdtempSync(join(tmpdir(), 'millrace-pgbouncer-'))
  writeFileSync(join(directory, 'users.txt'), `"${username}" "${password}"\n`)
  writeFileSync(
    join(directory, 'pgbouncer.ini'),
    [
      '[databases]',
      `* = host=${hostname} port=${databasePort}`,
      '[pgbouncer]',
      `listen_addr=127.0.0.1`,
      `listen_port=${port}`,
      'unix_socket_dir=',
      'auth_type=plain',
      `auth_file=${join(directory, 'users.txt')}`,
      `pool_mode=${poolMode}`,
      'default_pool_size=2',
    ].join('\n'),
  )
  const isRoot = process.getuid?.() === 0
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  const owner = isRoot ? { uid: id('-u'), gid: id('-g') } : {}
  if (isRoot)
    for (const name of ['', 'users.txt', 'pgbouncer.ini']) chownSync(join(directory, name), id('-u'), id('-g'))
  const child: ChildProcess = spawn('pgbouncer', ['-q', join(directory, 'pgbouncer.ini')], {
    ...owner,
    env: { ...process.env, PATH },
    stdio: 'ignore',
  })
  const deadline = performance.now() + 10_000
  while (!(await answers(port))) {
    if (performance.now() > deadline) throw new Error('PgBouncer did not start')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const url = new URL(databaseUrl)
  url.host = `127.0.0.1:${port}`
  const stop = async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGINT')
    const timer = setTimeout(() => child.kill('SIGKILL'), 2000)
    await ended
    clearTimeout(timer)
    rmSync(directory, { recursive: true, force: true })
  }
  return { url: url.href, stop }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
