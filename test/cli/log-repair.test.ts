import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { repair, verify } from '../../app/cli/log.ts'
import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import { segmentName } from '../../app/log/embedded/format.ts'
import { temporaryDirectory } from '../support/temporary.ts'

let printed = ''
beforeEach(() => {
  printed = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
})
afterEach(() => void vi.restoreAllMocks())

const SMALL = { segmentBytes: 256, maxBytes: 1024 * 1024, retentionMs: 1e9 }

/** Nine events, one a group, in three segments. */
async function written(directory: string): Promise<void> {
  const log = await EmbeddedLog.open({ ...SMALL, directory })
  await log.consumer('a')
  for (let id = 0; id < 9; id++) await log.append([{ payload: Buffer.from(JSON.stringify({ id })), count: 1 }])
  await log.close()
}

function change(directory: string, segment: number, change: (bytes: Buffer) => Buffer): void {
  const path = join(directory, segmentName(segment))
  writeFileSync(path, change(readFileSync(path)))
}

const contentOf = (directory: string) =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name !== 'lock' && name !== 'quarantine')
    .map((name) => [name, readFileSync(join(directory, name), 'base64')])

test('a sound log has nothing to repair', async () => {
  const directory = temporaryDirectory()
  await written(directory)
  const before = contentOf(directory)
  expect(await repair({ dir: directory, yes: true })).toBe(true)
  expect(printed).toBe('nothing to repair\n')
  expect(contentOf(directory)).toEqual(before)
})

test('what is wrong is explained and left alone; with --yes it is mended, and no record that is readable goes', async () => {
  const [directory, other] = [temporaryDirectory(), temporaryDirectory()]
  await written(directory)
  await written(other)
  change(directory, 3, (bytes) => {
    bytes[bytes.indexOf('{"id":4}') + 6] = 0x58
    return bytes
  })
  change(directory, 6, (bytes) => bytes.subarray(0, -5))
  cpSync(join(other, segmentName(3)), join(directory, segmentName(20)))
  writeFileSync(join(directory, 'consumers.json'), 'noise')
  const before = contentOf(directory)

  expect(await repair({ dir: directory, yes: false })).toBe(false)
  expect(printed).toMatch(/DAMAGED 0+3\.seg at \d+, \d+ bytes: checksum.*: copied to quarantine\/; readers skip it/)
  expect(printed).toMatch(/DAMAGED 0+6\.seg at \d+, \d+ bytes: .*: copied to quarantine\/, then cut off/)
  expect(printed).toMatch(/20\.seg belongs to another log .*moves it to quarantine/)
  expect(printed).toMatch(/consumers\.json is damaged: every sink starts again/)
  expect(printed).toMatch(/nothing was changed: 4 things to do, with --yes/)
  expect(contentOf(directory)).toEqual(before)

  expect(await repair({ dir: directory, yes: true })).toBe(true)
  expect(printed).toMatch(/4 things done/)
  expect(readdirSync(join(directory, 'quarantine')).sort()).toEqual([
    expect.stringMatching(/^0+3\.seg\.\d+\.bad$/),
    expect.stringMatching(/^0+6\.seg\.\d+\.bad$/),
    segmentName(20),
    expect.stringMatching(/^consumers\.json\.\d+$/),
  ])
  printed = ''
  expect(await repair({ dir: directory, yes: false })).toBe(true)
  expect(printed).toMatch(/0+3\.seg .*: kept in quarantine\/, readers skip it\n.*nothing to repair\n$/s)
  printed = ''
  await verify({ dir: directory })
  expect(printed).toMatch(/3 segments, 7 groups, 7 events/)
})

test('while another process has the log, and without one, it changes nothing', async () => {
  const directory = temporaryDirectory()
  const log = await EmbeddedLog.open({ ...SMALL, directory })
  await expect(repair({ dir: directory, yes: true })).rejects.toMatchObject({ code: 'DATA_DIR_LOCKED' })
  await log.close()
  const nowhere = join(directory, 'not-there')
  await expect(repair({ dir: nowhere, yes: true })).rejects.toThrow(/cannot read .*not-there.*--dir/)
  expect(readdirSync(directory)).not.toContain('not-there')
})
