/**
 * The role as a team uses it: ansible-playbook over SSH, machines whose own systemd runs the service with all of its unit, releases made by
 * `npm run package`.
 *
 * Not covered: Ubuntu, arm64, a start of the whole machine with the disk of its own, and downloads from nodejs.org and GitHub.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { VARIABLES } from '../../app/config.ts'
import { CLOSE_MARGIN_MS } from '../../app/main.ts'
import { attachDisk, detachDisk, type Machine, Machines, missing, tool } from '../support/machines.ts'
import { type Release, releaseFrom, startNodeMirror } from '../support/releases.ts'

const PROJECT = resolve(import.meta.dirname, '../..')
const ROLE = join(PROJECT, 'infra/ansible')
const NODE_VERSION = '24.21.0'
const KEY = 'a-key-that-nobody-may-see'
const TOKEN = 'a-token-that-nobody-may-see'
const DISK_BYTES = 64 * 1024 * 1024
/** From https://www.freedesktop.org/software/man/systemd-analyze.html: 0 is closed, 10 open. */
const MOST_EXPOSURE = 2.5

const reason = missing()
if (reason !== undefined) console.error(`the Ansible role is not tested: ${reason}`)
const report: string[] = []
let machines: Machines
let hosts: readonly Machine[]
let mirror: { url: string; stop(): void }
let releases: Record<'first' | 'second' | 'broken', Release>
let disks: { readonly own: string; readonly foreign: string } | undefined

interface Played {
  readonly code: number
  readonly output: string
  /** By host: what it counted. */
  readonly recap: Readonly<Record<string, Readonly<Record<string, number>>>>
}

type Variables = Readonly<Record<string, unknown>>

function variablesOf({ version, archive, sha256 }: Release): Variables {
  return { millrace_version: version, millrace_archive: archive, millrace_archive_sha256: sha256 }
}

async function play(variables: Variables, ...options: string[]): Promise<Played> {
  const inventory = join(machines.directory, 'inventory.yaml')
  const all = Object.fromEntries(
    hosts.map(({ name, sshPort, port, adminPort }, at) => [
      name,
      {
        ansible_host: '127.0.0.1',
        ansible_port: sshPort,
        ansible_user: 'root',
        ansible_ssh_common_args: machines.sshOptions().join(' '),
        millrace_environment: { PORT: port, ADMIN_PORT: adminPort, ADMIN_TOKEN: TOKEN, SINKS: ['file'] },
        ...(at === 1 && disks && { millrace_data_device: disks.own }),
      },
    ]),
  )
  const vars = {
    millrace_node_version: NODE_VERSION,
    millrace_node_mirror: mirror.url,
    millrace_api_keys: [`default:${KEY}`],
    ...variables,
  }
  writeFileSync(inventory, stringify({ millrace: { hosts: all } }))
  const extra = join(machines.directory, 'variables.yaml')
  writeFileSync(extra, stringify(vars))
  const args = ['-i', inventory, '--extra-vars', `@${extra}`, ...options, 'playbook.yaml']
  const child = spawn(tool('ansible-playbook'), args, { cwd: ROLE, env: { ...process.env, ANSIBLE_NOCOLOR: '1' } })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const code = await new Promise<number>((done) => child.on('close', (status) => done(status ?? 1)))
  const recap = Object.fromEntries(
    [...output.matchAll(/^(host-\d) +: (.*)$/gm)].map(([, host, counts = '']) => [
      host,
      Object.fromEntries([...counts.matchAll(/(\w+)=(\d+)/g)].map(([, name, count]) => [name, Number(count)])),
    ]),
  )
  return { code, output, recap }
}

const send = ({ port }: Machine, id: number, key = KEY) =>
  fetch(`http://127.0.0.1:${port}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ id, data: `Event ${id}` }),
  })

async function versionOf({ adminPort }: Machine): Promise<string> {
  const status = (await (await fetch(`http://127.0.0.1:${adminPort}/status`)).json()) as { version: string }
  return status.version
}

function deliveredTo(machine: Machine): string[] {
  const { stdout } = machines.ssh(machine, 'cat /var/lib/millrace/delivered/*.ndjson')
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).id)
}

const pidOf = (machine: Machine) =>
  machines.ssh(machine, 'systemctl show --value --property MainPID millrace').stdout.trim()

describe.skipIf(reason)(`the Ansible role${reason ? ` (left out: ${reason})` : ''}`, () => {
  let one: Machine
  let two: Machine

  beforeAll(async () => {
    machines = new Machines()
    const { directory } = machines
    mirror = await startNodeMirror(directory, NODE_VERSION)
    execFileSync('npm', ['run', '--silent', 'package'], { cwd: PROJECT, stdio: 'ignore' })
    const made = join(
      PROJECT,
      'dist',
      readdirSync(join(PROJECT, 'dist')).find((name) => name.endsWith('.tar.gz')) ?? '',
    )
    releases = {
      first: releaseFrom(made, directory, '0.9.0'),
      second: releaseFrom(made, directory, '0.9.1'),
      broken: releaseFrom(made, directory, '0.9.2', (root) => {
        const app = join(root, 'app/app.js')
        writeFileSync(app, `throw new Error('broken on purpose')\n${readFileSync(app, 'utf8')}`)
      }),
    }
    const [own, foreign] = ['own', 'foreign'].map((name) => attachDisk(directory, name, DISK_BYTES))
    if (own !== undefined && foreign !== undefined) {
      disks = { own, foreign }
      writeFileSync(foreign, Buffer.alloc(4096, 'something that is not ours'))
    } else {
      report.push('left out: a disk of its own, since this machine has no loop devices')
    }
    one = await machines.boot('host-1', disks ? [disks.foreign] : [])
    two = await machines.boot('host-2', disks ? [disks.own] : [])
    hosts = [one, two]
  })
  afterAll(async () => {
    console.error(report.join('\n'))
    mirror?.stop()
    await machines?.stop()
    for (const device of Object.values(disks ?? {})) detachDisk(device)
  })

  test('a first run installs: the service is ready, wants the key, and delivers', async () => {
    const { code, output, recap } = await play(variablesOf(releases.first), '-v')
    expect(code, output.slice(-6000)).toBe(0)
    for (const host of hosts) {
      expect(recap[host.name]?.changed).toBeGreaterThan(5)
      expect((await send(host, 1, 'another-key-of-16-letters')).status).toBe(401)
      expect((await send(host, 1)).status).toBe(202)
      await expect.poll(() => deliveredTo(host)).toEqual(['1'])
      expect(await versionOf(host)).toBe('0.9.0')
    }
    expect(output.includes(KEY), 'the key in the output').toBe(false)
    expect(output.includes(TOKEN), 'the token in the output').toBe(false)
    report.push(`first run: changed ${hosts.map(({ name }) => recap[name]?.changed).join(' and ')}`)
  })

  test('a second run changes nothing, nor would one that only looks', async () => {
    const before = hosts.map(pidOf)
    for (const options of [[], ['--check', '--diff']]) {
      const { code, output, recap } = await play(variablesOf(releases.first), ...options)
      expect(code, output.slice(-6000)).toBe(0)
      for (const { name } of hosts) expect(recap[name]?.changed, output.slice(-6000)).toBe(0)
      expect(output.includes(KEY) || output.includes(TOKEN)).toBe(false)
    }
    expect(hosts.map(pidOf)).toEqual(before)
    report.push('second run: changed 0 and 0; with --check: 0 and 0')
  })

  test('the unit is sound, and leaves the service little to break', () => {
    const verified = machines.ssh(one, 'systemd-analyze verify millrace.service')
    expect([verified.status, verified.stdout, verified.stderr]).toEqual([0, '', ''])
    const { stdout } = machines.ssh(one, 'systemd-analyze security --no-pager millrace.service')
    const [, exposure] = /Overall exposure level for millrace\.service: ([\d.]+)/.exec(stdout) ?? []
    expect(Number(exposure)).toBeLessThan(MOST_EXPOSURE)
    report.push(`systemd-analyze security: exposure ${exposure}`)
    // It cannot write its own code, nor read homes; and stopping may take as long as the service needs.
    const seen = machines.ssh(
      one,
      `nsenter --target ${pidOf(one)} --mount -- touch /opt/millrace/current/x 2>&1; echo $?`,
    )
    expect(seen.stdout).toContain('Read-only file system')
    const limit = machines.ssh(one, 'systemctl show --value --property TimeoutStopUSec millrace').stdout.trim()
    const needed = (name: string) => Number(VARIABLES[name]?.default)
    const closingMs = needed('SHUTDOWN_GRACE_MS') + needed('SHUTDOWN_DRAIN_MS') + CLOSE_MARGIN_MS
    expect(Number(/^(\d+)s$/.exec(limit)?.[1]) * 1000).toBeGreaterThan(closingMs)
  })

  test('a process that is killed comes back by itself, with what it had', async () => {
    const before = pidOf(one)
    expect((await send(one, 2)).status).toBe(202)
    machines.ssh(one, `kill -9 ${before}`)
    await expect
      .poll(
        () =>
          send(one, 3).then(
            ({ status }) => status,
            () => 0,
          ),
        { timeout: 20_000 },
      )
      .toBe(202)
    expect(pidOf(one)).not.toBe(before)
    await expect.poll(() => [...new Set(deliveredTo(one))]).toEqual(['1', '2', '3'])
    const look =
      '/opt/millrace/node-*/bin/node /opt/millrace/current/app/cli.js log inspect --dir /var/lib/millrace/log'
    expect(machines.ssh(one, `runuser -u millrace -- ${look}`).stdout).toContain('offsets 0–0')
  })

  test('a new version takes the place of the old one, and everything is still there', async () => {
    const { code, output, recap } = await play(variablesOf(releases.second))
    expect(code, output.slice(-6000)).toBe(0)
    for (const host of hosts) {
      expect(await versionOf(host)).toBe('0.9.1')
      expect(deliveredTo(host)).toContain('1')
      expect((await send(host, 4)).status).toBe(202)
      await expect.poll(() => deliveredTo(host)).toContain('4')
    }
    report.push(`upgrade: changed ${hosts.map(({ name }) => recap[name]?.changed).join(' and ')}`)
  })

  test('a version that does not become ready: the one before comes back, and the next host is not touched', async () => {
    const untouched = pidOf(two)
    const { code, output } = await play({ ...variablesOf(releases.broken), millrace_ready_timeout_seconds: 8 })
    expect(code).toBe(2)
    const message = output.replaceAll(/\s+/g, ' ')
    expect(message).toContain('0.9.2 did not become ready on host-1')
    expect(message).toContain('The version before, 0.9.1, runs again and is ready.')
    expect(message).toContain('broken on purpose')
    expect(await versionOf(one)).toBe('0.9.1')
    expect((await send(one, 5)).status).toBe(202)
    expect([await versionOf(two), pidOf(two)]).toEqual(['0.9.1', untouched])
    report.push(`rollback: ${/0\.9\.2 did not become ready.*?is ready\./.exec(message)?.[0]}`)
  })

  test.each<[string, Variables, RegExp]>([
    ['an unknown variable', { millrace_environment: { PROT: 3000 } }, /PROT.*Supported parameters include/],
    ['a wrong type', { millrace_environment: { PORT: 'many' } }, /PORT.*many/],
    [
      'a value the service refuses',
      { millrace_environment: { MAX_BODY_BYTES: 1 } },
      /MAX_BODY_BYTES: "1" is not a whole number from 1024/,
    ],
    ['a sink there is not', { millrace_environment: { SINKS: ['fiel'] } }, /SINKS.*fiel/],
    [
      'a value that no file could hold',
      { millrace_environment: { HOST: "it's" } },
      /holds a single quote or a line break/,
    ],
    ['a key too short', { millrace_api_keys: ['default:short'] }, /name:key with 16 to 512 characters/],
    [
      'an archive that is another one',
      { millrace_version: '0.9.3', millrace_archive_sha256: 'a'.repeat(64) },
      /does not have the SHA-256/,
    ],
    [
      'another archive for a version that is there',
      { millrace_archive_sha256: 'b'.repeat(64) },
      /was made from another archive/,
    ],
  ])('%s fails before the service is touched', { timeout: 60_000 }, async (_, wrong, message) => {
    const before = hosts.map(pidOf)
    const { code, output } = await play({ ...variablesOf(releases.second), ...wrong }, '--limit', 'host-1')
    expect(code).toBe(2)
    expect(output.replaceAll(/\s+/g, ' ')).toMatch(message)
    expect(hosts.map(pidOf)).toEqual(before)
  })

  test('a disk of its own is mounted for the data, and one that holds something else is left alone', async (context) => {
    if (!disks) return context.skip('this machine has no loop devices')
    const { stdout } = machines.ssh(two, 'findmnt --noheadings --output FSTYPE,OPTIONS /var/lib/millrace')
    expect(stdout).toMatch(/^ext4 .*noatime/)
    expect(machines.ssh(two, 'grep -c "UUID=.* /var/lib/millrace ext4" /etc/fstab').stdout.trim()).toBe('1')
    const before = readFileSync(disks.foreign)
    const wrong = { ...variablesOf(releases.second), millrace_data_device: disks.foreign }
    const { code, output } = await play(wrong, '--limit', 'host-1')
    expect(code).toBe(2)
    expect(output.replaceAll(/\s+/g, ' ')).toContain('holds something that is not ext4, and is left as it is')
    expect(readFileSync(disks.foreign).equals(before)).toBe(true)
  })

  test('a stop finishes what is begun', async () => {
    const sent = await Promise.all(Array.from({ length: 50 }, (_, at) => send(one, 100 + at)))
    expect(new Set(sent.map(({ status }) => status))).toEqual(new Set([202]))
    machines.ssh(one, 'systemctl stop millrace')
    const result = machines.ssh(
      one,
      'systemctl show --property Result --property ExecMainStatus --property ExecMainCode millrace',
    )
    expect(result.stdout.trim().split('\n').sort()).toEqual(['ExecMainCode=1', 'ExecMainStatus=0', 'Result=success'])
    const delivered = new Set(deliveredTo(one))
    for (let id = 100; id < 150; id++) expect(delivered).toContain(String(id))
  })

  test('ansible-lint and yamllint find nothing', () => {
    const path = `${process.env.ANSIBLE_BIN ?? ''}:${process.env.PATH}`
    const options = { cwd: ROLE, encoding: 'utf8', env: { ...process.env, PATH: path } } as const
    const yamllint = spawnSync(tool('yamllint'), ['.'], options)
    expect([yamllint.status, yamllint.stdout]).toEqual([0, ''])
    const lint = spawnSync(tool('ansible-lint'), ['--offline', '--profile', 'production', '--nocolor'], options)
    expect(lint.status, lint.stdout + lint.stderr).toBe(0)
  })
})
