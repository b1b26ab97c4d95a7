import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/temporary.ts'

const MONITOR = fileURLToPath(new URL('../../../infra/monitoring/monitor.ts', import.meta.url))

test('npm run monitor without Prometheus says how to get it', async () => {
  const directory = temporaryDirectory()
  const running = promisify(execFile)(process.execPath, [MONITOR], { cwd: directory, env: { PATH: directory } })
  await expect(running).rejects.toMatchObject({ code: 2, stderr: expect.stringMatching(/apt-get install .*compose/s) })
})
