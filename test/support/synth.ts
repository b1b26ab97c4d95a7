/** Synthesises the stacks like a user does: a process, with `infra/config.ts` as it is or edited. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Block, type Synthesis, type SynthesisedStack, synthesise } from '../../infra/synthesise.ts'

export type { Block }

const PROJECT = resolve(import.meta.dirname, '../..')

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

/** The same for one test, removed when the test is over. */
export function temporaryProject(edits: readonly (readonly [string, string])[]): string {
  const directory = editedProject(edits)
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
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

export const EMULATED_ACCOUNT = '123456789012'
/** Edits without which nothing can be deployed: an account and an image. What is deployed can be taken down again. */
export const DEPLOYABLE: readonly (readonly [string, string])[] = [
  ['000000000000', EMULATED_ACCOUNT],
  ["'0'.repeat(64)", "'a'.repeat(64)"],
  ['protectState: true', 'protectState: false'],
]

/** Text for an environment in `config.ts`: it is in an account of its own. */
export const OTHER_ACCOUNT = `account: {
      id: '444455556666',
      region: 'eu-north-1',
      quotas: { elasticIps: 5, fargateVcpus: 100 },
    },`

/** Edits that make dev, which is `single` in config.ts, `scaled`; its single task drains its log. */
export const DEV_SCALED_AND_DRAINING: readonly (readonly [string, string])[] = [
  ["profile: 'single',", "profile: 'scaled',\n    formerLog: 'drain',"],
  ["zones: ['a', 'b'],", "zones: ['a', 'b', 'c'],"],
  [
    'tasks: { all: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 1 } },',
    `kafka: { brokerType: 'kafka.t3.small', storageGiB: 50, plannedMibps: 0.2 },
    tasks: {
      all: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 1 },
      ingest: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 2 },
      deliver: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 2 },
    },`,
  ],
]
/** Then: the task goes, the disk of its log stays. */
export const DEV_KEEPS_ITS_LOG: readonly (readonly [string, string])[] = [
  ["formerLog: 'drain',", "formerLog: 'keep',"],
  ['      all: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 1 },\n', ''],
]
/** Then: the disk goes. */
export const DEV_FORGETS_ITS_LOG: readonly (readonly [string, string])[] = [["    formerLog: 'keep',\n", '']]

export function synth(directory?: string): Omit<Synthesis, 'stacks'> & { stacks: Map<string, SynthesisedStack> } {
  const { code, stderr, stacks } = synthesise(directory)
  return { code, stderr, stacks: new Map(stacks.map((stack) => [stack.name, stack])) }
}

/** Every resource of a type, in all of the given stacks. */
export function resourcesOf(stacks: Iterable<SynthesisedStack>, type: string): { at: string; block: Block }[] {
  return [...stacks].flatMap((stack) =>
    Object.entries(stack.resource[type] ?? {}).map(([name, block]) => ({
      at: `${stack.name}: ${type}.${name}`,
      block,
    })),
  )
}
