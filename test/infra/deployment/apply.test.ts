import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { programs } from '../../support/programs.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

const INFRA = resolve(import.meta.dirname, '../../../infra')

/** What somebody hears when Terraform fails with that error, whose words are those of AWS and of Terraform. */
function heard(summary: string, detail = ''): string {
  const project = temporaryDirectory()
  mkdirSync(join(project, 'cdktf.out/stacks/dev-service'), { recursive: true })
  const line = JSON.stringify({ type: 'diagnostic', diagnostic: { severity: 'error', summary, detail } })
  const code = `import { applyStack } from '${INFRA}/deployment/apply.ts'
    import { TerraformStack } from '${INFRA}/terraform.ts'
    await applyStack(new TerraformStack('dev-service')).catch((error) => console.log(error.message))`
  const path = programs({ terraform: `cat <<'END'\n${line}\nEND\nexit 1` })
  const env = { PATH: `${path}:/bin:/usr/bin` }
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: project,
    env,
    encoding: 'utf8',
  })
  return stdout
}

test.each([
  [
    'Error acquiring the state lock',
    'Lock Info:\n  ID:        0a1b',
    /terraform -chdir=\S+dev-service force-unlock 0a1b/,
  ],
  [
    'creating EC2 EIP',
    'AddressLimitExceeded: The maximum number',
    /npm run deploy -- check <environment> says which quota/,
  ],
  [
    'creating IAM OIDC Provider',
    'EntityAlreadyExists: Provider with url https://token.actions.githubusercontent.com already exists.',
    /set github\.oidcProvider: 'existing'/,
  ],
  ['creating ECS Service', 'ExpiredTokenException: The security token included has expired', /To do: log in again/],
  ['creating VPC', 'UnauthorizedOperation: You are not authorized', /the apply role of the environment for the rest/],
  ['creating S3 Bucket', 'BucketAlreadyExists: it is taken', /remove it, or import it/],
  ['Invalid value', 'something else', /To do: correct what it says/],
])('%s: %s', (summary, detail, advice) => {
  const text = heard(summary, detail)
  expect(text).toMatch(advice)
  expect(text).toContain('dev-service could not be applied:')
  expect(text).toContain(summary)
  expect(text).toContain('run the same command again: it goes on from here')
})
