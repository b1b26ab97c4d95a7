/**
 * `node test/support/record-state.ts <directory>`: the Terraform state of each stack of dev and staging as a deployment by this
 * version leaves it, in an emulated AWS. Run once a release, for `test/fixtures/<version>/stacks`.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { missing, startEmulatedAws } from './emulated-aws.ts'
import { DEPLOYABLE, editedProject } from './synth.ts'

const [directory] = process.argv.slice(2)
if (directory === undefined) throw new Error('usage: node test/support/record-state.ts <directory>')
const reason = missing()
if (reason !== undefined) throw new Error(reason)

const PARTS = ['foundation', 'monitoring', 'service']
const ENVIRONMENTS = ['dev', 'staging']
const STACKS = ['bootstrap', ...ENVIRONMENTS.flatMap((name) => PARTS.map((part) => `${name}-${part}`))]

interface State {
  readonly resources: readonly { readonly mode: string }[]
}

const aws = await startEmulatedAws()
const project = editedProject(DEPLOYABLE)
try {
  for (const target of ['bootstrap', ...ENVIRONMENTS]) {
    const command = ['run', '--silent', 'deploy', '--', target, '--auto-approve', '--skip-provider-lock']
    const { code, output } = await aws.run(project, 'npm', ...command)
    if (code !== 0) throw new Error(`${target} was not deployed:\n${output.slice(-4000)}`)
  }
  mkdirSync(directory, { recursive: true })
  for (const stack of STACKS) {
    const { stdout } = await aws.run(project, 'terraform', `-chdir=cdktf.out/stacks/${stack}`, 'state', 'pull')
    const state: State = JSON.parse(stdout)
    // What was only read is read again by each plan.
    const resources = state.resources.filter(({ mode }) => mode === 'managed')
    writeFileSync(join(directory, `${stack}.tfstate`), `${JSON.stringify({ ...state, resources })}\n`)
  }
} finally {
  await aws.stop()
  rmSync(project, { recursive: true, force: true })
}
