/** Applies one stack, shows what AWS is doing meanwhile, and says what to do where it fails. */
import { BINARY, LOCK_TIMEOUT, TerraformError, type TerraformStack, terraformEnvironment } from '../terraform.ts'
import { runProgram } from './interruptible.ts'
import { type Diagnostic, Progress } from './progress.ts'

/** What helps, by what the error says; the first that fits. */
const ADVICE: readonly (readonly [error: RegExp, advice: (stack: TerraformStack, text: string) => string])[] = [
  [
    /state lock/i,
    ({ directory }, text) =>
      'somebody else deploys now, or a deployment was killed before it could let go of the lock. If it is the latter: ' +
      `${BINARY} -chdir=${directory} force-unlock ${/ID:\s+(\S+)/.exec(text)?.[1] ?? '<id>'}`,
  ],
  [/ExpiredToken|token .* expired/i, () => 'log in again'],
  [
    /LimitExceeded|quota|AddressLimit/i,
    () => 'npm run deploy -- check <environment> says which quota, and the command that raises it',
  ],
  [
    /provider with url .*githubusercontent/i,
    () => "another project made the OpenID Connect provider of GitHub: set github.oidcProvider: 'existing'",
  ],
  [
    /AccessDenied|UnauthorizedOperation|not authorized/i,
    () =>
      'use credentials that may do it: an administrator for bootstrap, the apply role of the environment for the rest',
  ],
  [
    /already ?exists|Duplicate/i,
    () => 'something of that name is there and not in the state: remove it, or import it (terraform import)',
  ],
]

/** @returns Terraform's closing line. @throws TerraformError, InterruptedError. */
export async function applyStack(stack: TerraformStack, command: 'apply' | 'destroy' = 'apply'): Promise<string> {
  const progress = new Progress((line) => console.error(line))
  const args = [command, '-json', '-auto-approve', '-input=false', LOCK_TIMEOUT]
  const { code, stderr } = await runProgram(BINARY, args, {
    cwd: stack.directory,
    env: terraformEnvironment(),
    onLine: (line) => progress.take(line),
    mayEnd: () => progress.isQuiet,
  })
  if (code === 0) return progress.result
  throw new TerraformError(explain(stack, progress.errors, stderr))
}

function explain(stack: TerraformStack, errors: readonly Diagnostic[], stderr: string): string {
  const said = errors.map(({ summary, detail, address }) =>
    [`  ${address === undefined ? '' : `${address}: `}${summary}`, ...detail.trim().split('\n')].join('\n    '),
  )
  const text = said.length > 0 ? said.join('\n') : stderr.trim()
  const advice = ADVICE.find(([error]) => error.test(text))?.[1](stack, text)
  const next = 'Then run the same command again: it goes on from here.'
  return `${stack.name} could not be applied:\n${text}\n\nTo do: ${advice ?? 'correct what it says'}. ${next}`
}
