/**
 * `npm run scan`: Checkov over what the stacks synthesise. Fails on a finding that `scan-exceptions.json` does not explain,
 * and on an explanation that no finding needs any more. Checkov: CHECKOV, or on the PATH (`pip install checkov`).
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { synthesise } from './synthesise.ts'

interface Exception {
  readonly check: string
  /** Part of the resource's address. */
  readonly resource: string
  readonly reason: string
}
interface Finding {
  readonly check_id: string
  readonly check_name: string
  readonly resource: string
  readonly file_path: string
}
interface Report {
  readonly summary: { readonly passed: number; readonly parsing_errors: number }
  readonly results: { readonly failed_checks: readonly Finding[] }
}

const checkov = process.env.CHECKOV ?? 'checkov'
const exceptions: readonly Exception[] = JSON.parse(
  readFileSync(join(import.meta.dirname, 'scan-exceptions.json'), 'utf8'),
)

const work = mkdtempSync(join(tmpdir(), 'millrace-scan-'))
console.error('synthesising …')
const { code, stderr, stacks } = synthesise()
if (code !== 0) {
  console.error(stderr)
  process.exit(1)
}
for (const { name, json } of stacks) {
  // Checkov cannot read a terraform block in JSON, and would then skip the file without a word.
  const { terraform: _, ...rest } = json
  mkdirSync(join(work, name))
  writeFileSync(join(work, name, 'cdk.tf.json'), JSON.stringify(rest, undefined, 1))
}
console.error(`scanning ${stacks.length} stacks …`)
const args = ['-d', work, '--framework', 'terraform_json', '--compact', '--skip-download', '-o', 'json']
const { stdout, error } = spawnSync(checkov, args, { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 })
rmSync(work, { recursive: true })
if (error) {
  console.error(`${checkov} cannot be run (${error.message}): pip install checkov, and name it in CHECKOV`)
  process.exit(2)
}
const { summary, results }: Report = JSON.parse(stdout)

const used = new Set<Exception>()
const failed: Finding[] = []
for (const finding of results.failed_checks) {
  const exception = exceptions.find(
    ({ check, resource }) => check === finding.check_id && finding.resource.includes(resource),
  )
  if (exception) used.add(exception)
  else failed.push(finding)
}
const skipped = results.failed_checks.length - failed.length
for (const { check_id, check_name, file_path, resource } of failed) {
  console.error(`failed   ${check_id}  ${check_name}\n         ${file_path}  ${resource}`)
}
for (const exception of exceptions) {
  const { check, resource, reason } = exception
  console.error(`${used.has(exception) ? 'skipped' : 'UNUSED '}  ${check}  ${resource}: ${reason}`)
}
console.error(`passed ${summary.passed}, failed ${failed.length}, skipped ${skipped}, each with its reason`)
const sound = failed.length === 0 && used.size === exceptions.length && summary.parsing_errors === 0
process.exitCode = sound && summary.passed > 0 ? 0 : 1
