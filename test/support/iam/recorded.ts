/**
 * Which operations of AWS a run may call, by version of the provider: a checked-in list. A new one is a failing test with its name,
 * as it needs a permission that a real account may not give. MILLRACE_RECORD_OPERATIONS=1 adds what a run has called.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Judged } from './gate.ts'

const FILE = new URL('operations.json', import.meta.url)

/** Version → kind of role, without its environment → operations. */
type Recorded = Record<string, Record<string, string[]>>

/** Operations that are not in the list, as `role: operation`. */
export function newOperations(version: string, judged: readonly Judged[]): string[] {
  const recorded: Recorded = existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : {}
  const isRecording = process.env.MILLRACE_RECORD_OPERATIONS === '1'
  if (recorded[version] === undefined && !isRecording) {
    console.error(
      `operations of provider ${version}: not compared, none are recorded (MILLRACE_RECORD_OPERATIONS=1 does)`,
    )
    return []
  }
  const known = recorded[version] ?? {}
  const found = new Set(
    judged
      .filter(({ role, decision }) => decision.allowed && /^millrace-github-(plan|apply)/.test(role))
      .map(({ role, operation }) => `${/plan|apply/.exec(role)?.[0]}: ${operation}`),
  )
  const unknown = [...found].filter((each) => {
    const [kind = '', operation = ''] = each.split(': ')
    return !known[kind]?.includes(operation)
  })
  if (!isRecording) return unknown
  for (const each of unknown) {
    const [kind = '', operation = ''] = each.split(': ')
    known[kind] = [...(known[kind] ?? []), operation].sort()
  }
  writeFileSync(FILE, `${JSON.stringify({ ...recorded, [version]: known }, null, 2)}\n`)
  return []
}
