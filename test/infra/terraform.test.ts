/** Which program runs the stacks, before it runs them: what it does with them is in the deployment tests. */
import { spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.ts'

const MODULE = resolve(import.meta.dirname, '../../infra/terraform.ts')

/** What a command hears of the program that TERRAFORM_BINARY_NAME names. */
function required(name: string, path: string): string {
  const code = `import { requireTerraform } from ${JSON.stringify(MODULE)}
    try { console.log(requireTerraform()) } catch (error) { console.log(error.message) }`
  const env = { PATH: path, TERRAFORM_BINARY_NAME: name }
  return spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', env }).stdout.trim()
}

/** A directory with a program that answers `version -json` like Terraform and OpenTofu do. */
function programOf(name: string, version: string): string {
  const directory = temporaryDirectory()
  const path = join(directory, name)
  writeFileSync(path, `#!/bin/sh\necho '{"terraform_version":"${version}","platform":"linux_amd64"}'\n`)
  chmodSync(path, 0o755)
  return directory
}

test('TERRAFORM_BINARY_NAME names another program, such as OpenTofu', () => {
  expect(required('tofu', `${programOf('tofu', '1.11.4')}:/bin:/usr/bin`)).toBe('1.11.4')
})

test('one that is missing or too old is named', () => {
  expect(required('tofu', temporaryDirectory())).toBe('tofu is not on the PATH: install 1.11 or later')
  const old = required('tofu', `${programOf('tofu', '1.10.7')}:/bin:/usr/bin`)
  expect(old).toBe('tofu is 1.10.7: 1.11 or later is needed')
})
