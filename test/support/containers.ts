/**
 * buildah and podman, apart from everything else on the machine: images, containers, volumes and locks lie in one temporary
 * directory, and nothing comes from a registry of images (./base-images.ts).
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type Architecture = 'amd64' | 'arm64'

const TOOLS = ['buildah', 'podman', 'runc', 'apt-get', 'dpkg-deb']

/** Why images cannot be built and run here, or undefined. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root may mount and look into images'
  const absent = TOOLS.filter((tool) => spawnSync(tool, ['--version']).error)
  return absent.length === 0 ? undefined : `no ${absent.join(', ')}: on Debian, apt-get install buildah podman runc`
}

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ImageConfig {
  readonly User: string
  readonly Env: readonly string[]
  readonly Entrypoint: readonly string[]
  readonly Cmd: readonly string[]
  readonly WorkingDir: string
  readonly Labels: Readonly<Record<string, string>>
  readonly ExposedPorts: object
  readonly Volumes: object
}

export class Containers {
  readonly directory = mkdtempSync(join(tmpdir(), 'millrace-image-'))
  /** Keeps buildah and podman in the directory. */
  readonly environment: NodeJS.ProcessEnv

  constructor() {
    const file = (name: string, lines: readonly string[]) => {
      writeFileSync(join(this.directory, name), `${lines.join('\n')}\n`)
      return join(this.directory, name)
    }
    const at = (name: string) => JSON.stringify(join(this.directory, name))
    this.environment = {
      ...process.env,
      TMPDIR: this.directory,
      CONTAINERS_STORAGE_CONF: file('storage.conf', [
        '[storage]',
        'driver = "overlay"',
        `graphroot = ${at('storage')}`,
        `runroot = ${at('run')}`,
      ]),
      CONTAINERS_CONF: file('containers.conf', [
        '[containers]',
        'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]', // more than we have ourselves may be refused
        '[engine]',
        'cgroup_manager = "cgroupfs"', // systemd may not be there
        'runtime = "runc"', // crun refuses machines that mount both versions of cgroups
        'events_logger = "none"',
        'lock_type = "file"', // the others are shared with every container of the machine
        `tmp_dir = ${at('libpod')}`,
        `volume_path = ${at('volumes')}`,
        '[network]',
        `network_config_dir = ${at('networks')}`,
      ]),
    }
  }

  run(program: string, args: readonly string[], options: { cwd?: string } = {}): Promise<Ran> {
    const settings = { ...options, env: this.environment, maxBuffer: 64 * 1024 * 1024 }
    return new Promise((done) => {
      execFile(program, args, settings, (error, stdout, stderr) => {
        const code = typeof error?.code === 'number' ? error.code : 1
        done({ code: error ? code : 0, stdout: stdout.trim(), stderr: stderr.trim() })
      })
    })
  }

  /** @throws Error with what the program has said, unless it ends with 0. */
  async must(program: string, args: readonly string[], options: { cwd?: string } = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(program, args, options)
    if (code === 0) return stdout
    throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${(stdout + stderr).slice(-4000)}`)
  }

  /** Runs an image until it ends; podman passes signals on to its first process. */
  start(args: readonly string[]): ChildProcess {
    return spawn('podman', ['run', ...args], { env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  /** Makes an image of one layer. */
  async import(name: string, root: string, architecture: Architecture): Promise<void> {
    const container = await this.must('buildah', ['from', 'scratch'])
    await this.must('buildah', ['copy', '--quiet', container, root, '/'])
    await this.must('buildah', ['config', '--arch', architecture, '--os', 'linux', container])
    await this.must('buildah', ['commit', '--quiet', '--rm', '--format', 'docker', container, name])
  }

  /** The same image under another name, said to be for another architecture. */
  async relabel(image: string, name: string, architecture: Architecture): Promise<void> {
    const container = await this.must('buildah', ['from', '--pull-never', image])
    await this.must('buildah', ['config', '--arch', architecture, container])
    await this.must('buildah', ['commit', '--quiet', '--rm', '--format', 'docker', container, name])
  }

  /** Looks at the files of an image, without starting anything. */
  async look<T>(image: string, at: (root: string) => T | Promise<T>): Promise<T> {
    const container = await this.must('buildah', ['from', '--pull-never', image])
    try {
      return await at(await this.must('buildah', ['mount', container]))
    } finally {
      await this.must('buildah', ['rm', container])
    }
  }

  async config(image: string): Promise<ImageConfig & { Architecture: string; Healthcheck: unknown }> {
    const [inspected] = JSON.parse(await this.must('podman', ['image', 'inspect', image]))
    return {
      ...inspected.Config,
      Architecture: inspected.Architecture,
      Healthcheck: inspected.Healthcheck ?? inspected.HealthCheck,
    }
  }

  /** As a registry would hold it: layers compressed with gzip. Bytes. */
  async sizes(image: string): Promise<{ unpacked: number; compressed: number }> {
    const [{ Size: unpacked }] = JSON.parse(await this.must('podman', ['image', 'inspect', image]))
    const directory = mkdtempSync(join(this.directory, 'pushed-'))
    await this.must('buildah', ['push', '--quiet', '--compression-format', 'gzip', image, `oci:${directory}:pushed`])
    const blobs = await this.must('du', ['-sb', join(directory, 'blobs')])
    rmSync(directory, { recursive: true, maxRetries: 10, retryDelay: 200 })
    return { unpacked, compressed: Number.parseInt(blobs, 10) }
  }

  async remove(): Promise<void> {
    await this.run('podman', ['rm', '--all', '--force', '--volumes', '--time', '0'])
    await this.run('buildah', ['rm', '--all'])
    await this.run('umount', [join(this.directory, 'storage/overlay')])
    // What the last container still writes as it ends would make the directory not empty.
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  }
}
