/**
 * Machines for Ansible: Debian made with mmdebstrap, booted with its own systemd (systemd-nspawn), reached by SSH on this machine's
 * loopback. They share its network, so each has ports of its own.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from './ports.ts'

/** Directory of ansible-playbook, ansible-lint and yamllint: ANSIBLE_BIN, or the PATH. */
const bin = process.env.ANSIBLE_BIN
const DEBIAN = 'bookworm'
const PACKAGES = ['systemd', 'systemd-sysv', 'openssh-server', 'python3', 'ca-certificates']
const SSH_START_MS = 60_000

/** Why machines cannot be had here, or undefined. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root, to boot machines'
  for (const [command, from] of [
    ['mmdebstrap', 'mmdebstrap'],
    ['systemd-nspawn', 'systemd-container'],
    ['ssh', 'openssh-client'],
  ] as const) {
    if (spawnSync(command, ['--version']).error) return `${command} is not on the PATH: apt-get install ${from}`
  }
  if (spawnSync(tool('ansible-playbook'), ['--version']).status !== 0) {
    return 'no ansible-playbook: pip install ansible-core ansible-lint yamllint, and name their directory in ANSIBLE_BIN'
  }
  return undefined
}

export function tool(name: string): string {
  return bin === undefined ? name : join(bin, name)
}

export interface Machine {
  readonly name: string
  readonly root: string
  readonly sshPort: number
  readonly port: number
  readonly adminPort: number
}

export class Machines {
  /** Holds everything, the machines' disks too; removed at the end. */
  readonly directory = mkdtempSync(join(tmpdir(), 'millrace-machines-'))
  readonly #running = new Map<string, ChildProcess>()
  readonly #key: string

  constructor() {
    this.#key = join(this.directory, 'key')
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', this.#key])
    const base = join(this.directory, 'base')
    // Half of debootstrap's time: it unpacks with apt.
    const options = ['--quiet', '--mode=root', '--variant=minbase', `--include=${PACKAGES.join()}`]
    execFileSync('mmdebstrap', [...options, DEBIAN, base], { stdio: ['ignore', 'ignore', 'inherit'] })
    // For a host of its own: nothing here may reach what this machine's services use.
    for (const unit of ['ssh.service', 'ssh.socket', 'systemd-timesyncd.service', 'systemd-resolved.service']) {
      spawnSync('systemctl', ['--root', base, 'disable', '--quiet', unit])
    }
    rmSync(join(base, 'var/cache/apt'), { recursive: true, force: true })
  }

  /** Boots one and waits until SSH answers. `devices` of this machine are its devices as well. */
  async boot(name: string, devices: readonly string[] = []): Promise<Machine> {
    const root = join(this.directory, name)
    execFileSync('cp', ['-a', join(this.directory, 'base'), root])
    const [sshPort = 0, port = 0, adminPort = 0] = await freePorts(3)
    mkdirSync(join(root, 'root/.ssh'), { recursive: true, mode: 0o700 })
    writeFileSync(join(root, 'root/.ssh/authorized_keys'), readFileSync(`${this.#key}.pub`))
    const sshd = `Port ${sshPort}\nListenAddress 127.0.0.1\nPermitRootLogin prohibit-password\nUsePAM no\n`
    writeFileSync(join(root, 'etc/ssh/sshd_config.d/test.conf'), sshd)
    execFileSync('systemctl', ['--root', root, 'enable', '--quiet', 'ssh.service'])
    const options = ['--quiet', '--boot', '--register=no', '--keep-unit', `--machine=${name}`, `--directory=${root}`]
    const binds = devices.map((device) => `--bind=${device}`)
    const child = spawn('systemd-nspawn', [...options, '--console=pipe', ...binds], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
    this.#running.set(name, child)
    const machine = { name, root, sshPort, port, adminPort }
    const deadline = Date.now() + SSH_START_MS
    while (this.ssh(machine, 'true').status !== 0) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`${name} does not boot:\n${output}`)
      await new Promise((done) => setTimeout(done, 250))
    }
    return machine
  }

  ssh({ sshPort }: Machine, command: string): { status: number | null; stdout: string; stderr: string } {
    const options = [...this.sshOptions(), '-p', String(sshPort), 'root@127.0.0.1', command]
    return spawnSync('ssh', options, { encoding: 'utf8' })
  }

  sshOptions(): string[] {
    const settings = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'ConnectTimeout=5']
    return ['-i', this.#key, ...settings.flatMap((setting) => ['-o', setting])]
  }

  async stop(): Promise<void> {
    for (const child of this.#running.values()) {
      if (child.exitCode !== null) continue
      const ended = new Promise((done) => child.once('exit', done))
      child.kill('SIGTERM') // the machine shuts down
      const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
      await ended
      clearTimeout(timer)
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** A disk that is a file; undefined where this machine has no loop devices. */
export function attachDisk(directory: string, name: string, sizeBytes: number): string | undefined {
  const file = join(directory, `${name}.img`)
  execFileSync('truncate', ['--size', String(sizeBytes), file])
  chmodSync(file, 0o600)
  const { status, stdout } = spawnSync('losetup', ['--find', '--show', file], { encoding: 'utf8' })
  return status === 0 && existsSync(stdout.trim()) ? stdout.trim() : undefined
}

export function detachDisk(device: string): void {
  spawnSync('losetup', ['--detach', device])
}
