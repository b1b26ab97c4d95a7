import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { FileWatch } from '../../app/process/file-watch.ts'
import { MountedSecret } from '../support/certificates.ts'
import { until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const EVERY_MS = 50

function watch(paths: readonly string[]): { readonly changes: number; close(): void } {
  let changes = 0
  const count = () => {
    changes += 1
  }
  const watching = new FileWatch(paths, count, EVERY_MS)
  onTestFinished(() => watching.close())
  return {
    get changes() {
      return changes
    },
    close: () => watching.close(),
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

function aFile(text: string): string {
  const path = join(temporaryDirectory(), 'file')
  writeFileSync(path, text)
  return path
}

test.each<[string, (path: string) => void]>([
  ['written in place', (path) => writeFileSync(path, 'two')],
  ['written in place with as many bytes', (path) => writeFileSync(path, 'ONE')],
  [
    'renamed over',
    (path) => {
      writeFileSync(`${path}.new`, 'two')
      renameSync(`${path}.new`, path)
    },
  ],
  ['deleted', (path) => rmSync(path)],
])('a file that is %s is one change', async (_, change) => {
  const path = aFile('one')
  const seen = watch([path])
  await sleep(3 * EVERY_MS)
  expect(seen.changes).toBe(0)
  change(path)
  await until(() => seen.changes === 1, 5000, 'the change is seen')
  await sleep(4 * EVERY_MS)
  expect(seen.changes).toBe(1)
})

test('files behind symlinks, replaced as Kubernetes does it, are one change, each time', async () => {
  const secret = new MountedSecret({ cert: 'a', key: 'a' })
  const seen = watch([secret.path('cert'), secret.path('key')])
  for (const round of [1, 2, 3]) {
    secret.replace({ cert: 'b', key: 'b' })
    await until(() => seen.changes === round, 5000, `change ${round} is seen`)
  }
})

test('a file that comes back, and one that was never there, are changes when they are there', async () => {
  const path = join(temporaryDirectory(), 'later', 'file')
  const seen = watch([path])
  mkdirSync(join(path, '..'))
  writeFileSync(path, 'one')
  await until(() => seen.changes === 1, 5000, 'it is there')
})

test('a file that is still written to is no change yet; then it is one', async () => {
  const path = aFile('')
  const seen = watch([path])
  for (let at = 1; at < 40; at++) {
    writeFileSync(path, 'x'.repeat(at))
    await sleep(EVERY_MS / 5)
  }
  expect(seen.changes).toBe(0)
  await until(() => seen.changes === 1, 5000, 'it is written')
})

test('a change before the first look is seen, and none after the end', async () => {
  const path = aFile('one')
  const seen = watch([path])
  writeFileSync(path, 'two')
  await until(() => seen.changes === 1, 5000, 'it is seen')
  seen.close()
  writeFileSync(path, 'three')
  await sleep(5 * EVERY_MS)
  expect(seen.changes).toBe(1)
})
