/** Small file systems of a test's own, to be filled and broken. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { temporaryDirectory } from './temporary.ts'

/** Why a disk of this kind cannot be had here, or undefined. */
export function missingDisk(kind: 'tmpfs' | 'ext4'): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux, to mount a disk'
  if (kind === 'tmpfs') return undefined
  if (spawnSync('mkfs.ext4', ['-V']).error) return 'mkfs.ext4 is not on the PATH: apt-get install e2fsprogs'
  return spawnSync('losetup', ['--find']).status === 0 ? undefined : 'this machine has no loop devices'
}

/** @returns where `sizeBytes` of memory are mounted, until the test is over. */
export function mountTmpfs(sizeBytes: number): string {
  return mount(['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs'])
}

export interface Ext4 {
  readonly directory: string
  /** What the kernel does when it meets an error in the file system: no write succeeds from now on, in open files either. */
  makeReadOnly(): void
  /** What a person does then: repairs it and mounts it again. */
  repair(): void
}

/** An ext4 in a file, mounted as most distributions do it, with `errors=remount-ro`. */
export function mountExt4(sizeBytes: number): Ext4 {
  const image = join(temporaryDirectory(), 'disk.img')
  execFileSync('truncate', ['--size', String(sizeBytes), image])
  execFileSync('mkfs.ext4', ['-q', image])
  const device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim()
  onTestFinished(() => void spawnSync('losetup', ['--detach', device]))
  const options = ['-o', 'errors=remount-ro', device]
  const directory = mount(options)
  return {
    directory,
    makeReadOnly: () => writeFileSync(`/sys/fs/ext4/${basename(device)}/trigger_fs_error`, 'for a test'),
    repair: () => {
      execFileSync('umount', [directory])
      spawnSync('e2fsck', ['-p', '-f', device])
      execFileSync('mount', [...options, directory])
    },
  }
}

function mount(options: readonly string[]): string {
  const directory = join(temporaryDirectory(), 'disk')
  mkdirSync(directory)
  execFileSync('mount', [...options, directory])
  // Not while a killed service still ends.
  onTestFinished(() => {
    for (let tries = 0; tries < 50 && spawnSync('umount', [directory]).status !== 0; tries++)
      spawnSync('sleep', ['0.1'])
    if (existsSync(join(directory, 'lost+found'))) spawnSync('umount', ['--lazy', directory])
  })
  return directory
}
