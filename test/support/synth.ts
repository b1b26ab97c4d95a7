/** Synthesises the stacks like a user does: a process, with `infra/config.ts` as it is or edited. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '../..')

export type Block = Record<string, unknown>

/** One stack as Terraform reads it. */
export interface Stack {
  readonly name: string
  readonly text: string
  /** Resources by type, then by name. */
  readonly resource: Record<string, Record<string, Block>>
  readonly json: Block
}

/** A copy of what a synth needs, with `edits` made to config.ts: [text that is there, text that replaces it]. */
export function editedProject(edits: readonly (readonly [string, string])[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-infra-'))
  for (const entry of ['app', 'infra', 'package.json', 'cdktf.json']) {
    cpSync(join(PROJECT, entry), join(directory, entry), { recursive: true })
  }
  symlinkSync(join(PROJECT, 'node_modules'), join(directory, 'node_modules'))
  edit(directory, edits)
  return directory
}

export function edit(directory: string, edits: readonly (readonly [string, string])[]): void {
  const path = join(directory, 'infra', 'config.ts')
  let text = readFileSync(path, 'utf8')
  for (const [from, to] of edits) {
    if (!text.includes(from)) throw new Error(`infra/config.ts has no "${from}"`)
    text = text.replaceAll(from, to)
  }
  writeFileSync(path, text)
}

export function synth(directory = PROJECT): { code: number | null; stderr: string; stacks: Map<string, Stack> } {
  const out = mkdtempSync(join(tmpdir(), 'millrace-synth-'))
  const { AWS_ENDPOINT_URL: _, AWS_PROVIDER_VERSION: __, ...environment } = process.env
  const { status, stderr } = spawnSync(process.execPath, ['infra/main.ts'], {
    cwd: directory,
    env: { ...environment, CDKTF_OUTDIR: out },
    encoding: 'utf8',
  })
  mkdirSync(join(out, 'stacks'), { recursive: true })
  const stacks = readdirSync(join(out, 'stacks')).map((name): [string, Stack] => {
    const text = readFileSync(join(out, 'stacks', name, 'cdk.tf.json'), 'utf8')
    const json = JSON.parse(text)
    return [name, { name, text, json, resource: json.resource }]
  })
  return { code: status, stderr, stacks: new Map(stacks) }
}

/** Every resource of a type, in all of the given stacks. */
export function resourcesOf(stacks: Iterable<Stack>, type: string): { at: string; block: Block }[] {
  return [...stacks].flatMap((stack) =>
    Object.entries(stack.resource[type] ?? {}).map(([name, block]) => ({
      at: `${stack.name}: ${type}.${name}`,
      block,
    })),
  )
}
