import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'

const MODULE = resolve(import.meta.dirname, '../../../infra/deployment/confirm.ts')

/** What comes of it on a terminal whose user types that; `script` is a terminal. */
function answered(text: string): string {
  const code = `import { requireYes } from '${MODULE}'; await requireYes(false).then(() => console.log('goes on'), (error) => console.log(error.message))`
  const command = `${process.execPath} --input-type=module -e "${code}"`
  const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', input: `${text}\n` })
  return stdout.trim().split('\n').at(-1)?.trim() ?? ''
}

test.each([
  ['yes', 'goes on'],
  ['y', 'Nothing was done.'],
  ['', 'Nothing was done.'],
])('the answer "%s": %s', (text, outcome) => {
  expect(answered(text)).toBe(outcome)
})

test('where nobody can answer, it says which option does', () => {
  const code = `import { requireYes } from '${MODULE}'; await requireYes(false).catch((error) => console.log(error.message)); await requireYes(true); console.log('goes on')`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', input: '' })
  expect(stdout).toBe('There is nobody to ask here: --auto-approve says yes.\ngoes on\n')
})
