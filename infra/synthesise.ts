/** Runs `infra/main.ts` into a directory of its own and reads what it wrote: for scans, documents and tests. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '..')

/** The arguments of one resource, or another block. */
export type Block = Record<string, unknown>

/** One stack as Terraform reads it. */
export interface SynthesisedStack {
  readonly name: string
  readonly text: string
  readonly json: Block
  /** Resources by type, then by name. */
  readonly resource: Record<string, Record<string, Block>>
}

export interface Synthesis {
  /** 0, or the config is impossible and `stderr` says why. */
  readonly code: number | null
  readonly stderr: string
  readonly stacks: readonly SynthesisedStack[]
}

/** What AWS there is, and which provider, is the machine's business: the same everywhere here. */
const MACHINE = ['AWS_ENDPOINT_URL', 'AWS_PROVIDER_VERSION']

export function synthesise(project = PROJECT): Synthesis {
  const out = mkdtempSync(join(tmpdir(), 'millrace-synth-'))
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !MACHINE.includes(name)))
  const { status, stderr } = spawnSync(process.execPath, ['infra/main.ts'], {
    cwd: project,
    env: { ...environment, CDKTF_OUTDIR: out },
    encoding: 'utf8',
  })
  const names = existsSync(join(out, 'stacks')) ? readdirSync(join(out, 'stacks')) : []
  const stacks = names.map((name) => {
    const text = readFileSync(join(out, 'stacks', name, 'cdk.tf.json'), 'utf8')
    const json = JSON.parse(text)
    return { name, text, json, resource: json.resource }
  })
  rmSync(out, { recursive: true })
  return { code: status, stderr, stacks }
}
