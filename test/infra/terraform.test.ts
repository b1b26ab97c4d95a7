/** Which program runs the stacks, and that it waits its turn: what it does with them is in the deployment tests. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
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

const noTerraform = spawnSync('terraform', ['version']).status !== 0 && ' (left out: terraform is not on the PATH)'

/** A project with one stack, which needs no provider. @returns its directory and that of the stack. */
function stackWithoutProvider(): { directory: string; stack: string } {
  const directory = temporaryDirectory()
  const stack = join(directory, 'cdktf.out', 'stacks', 'one')
  mkdirSync(stack, { recursive: true })
  const resource = { terraform_data: { it: { input: 'made' } } }
  writeFileSync(join(stack, 'cdk.tf.json'), JSON.stringify({ resource }))
  for (const args of [['init'], ['plan', '-out=planned']]) {
    const { status, stderr } = spawnSync('terraform', args, { cwd: stack, encoding: 'utf8' })
    expect(status, stderr).toBe(0)
  }
  return { directory, stack }
}

/** Somebody who has the state locked and is asked for approval. @returns what ends it, without a change. */
async function holdState(stack: string): Promise<() => Promise<void>> {
  const holder = spawn('terraform', ['apply', '-no-color'], { cwd: stack, stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void holder.kill('SIGKILL'))
  let shown = ''
  for await (const chunk of holder.stdout) {
    shown += chunk
    if (shown.includes('Enter a value:')) break
  }
  return async () => {
    const ended = once(holder, 'exit')
    holder.stdin.end('no\n')
    await ended
  }
}

test.skipIf(noTerraform).each([
  ['plan', "await stack.plan('again')"],
  ['apply', "await stack.apply('planned')"],
])(
  `a state that somebody has locked is waited for: %s${noTerraform || ''}`,
  async (_, work) => {
    const { directory, stack } = stackWithoutProvider()
    const release = await holdState(stack)
    const code = `import { TerraformStack } from ${JSON.stringify(MODULE)}
    const stack = new TerraformStack('one')
    ${work}
    console.log('done')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: directory })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    }
    const ended = once(child, 'exit')
    // One that does not wait has ended by then, with the lock as its error.
    await Promise.race([ended, new Promise((done) => setTimeout(done, 3000))])
    expect(child.exitCode, output).toBeNull()
    await release()
    const [status] = await ended
    expect([status, output]).toEqual([0, expect.stringMatching(/done\n$/)])
  },
  60_000,
)
