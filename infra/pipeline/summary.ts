/**
 * A plan for people to read in a pull request: which resources, which of their arguments. Values are shown only where they are
 * short, plain and not secret; whatever Terraform marks as sensitive, or is named like a secret, stays hidden.
 */
import type { Plan } from './saved-plan.ts'

/** The part of Terraform's JSON plan that is read: https://developer.hashicorp.com/terraform/internals/json-format */
export interface PlanDocument {
  readonly resource_changes?: readonly ResourceChange[]
  readonly output_changes?: Readonly<Record<string, { readonly actions: readonly string[] }>>
}

interface ResourceChange {
  readonly address: string
  readonly mode: 'managed' | 'data'
  readonly change: {
    readonly actions: readonly string[]
    readonly before: Arguments
    readonly after: Arguments
    readonly after_unknown: Arguments
    /** True: all of it; else which arguments, or parts of them. */
    readonly before_sensitive: boolean | Readonly<Record<string, unknown>>
    readonly after_sensitive: boolean | Readonly<Record<string, unknown>>
  }
}
type Arguments = Readonly<Record<string, unknown>> | null

/** Signs of a diff, so that GitHub colours the lines. */
const SIGNS: Readonly<Record<string, string>> = {
  create: '+',
  delete: '-',
  update: '!',
  'delete,create': '-/+',
  'create,delete': '+/-',
}
const SECRET_NAME = /secret|password|passwd|token|credential|private|api_?key|access_?key|auth/i
const LONGEST_VALUE = 80

/** Markdown: a table of the stacks, and what changes in each. */
export function summarise(plan: Plan, documents: ReadonlyMap<string, PlanDocument>): string {
  const rows: string[] = []
  const details: string[] = []
  for (const { name, waitsFor } of plan.stacks) {
    const changes = changesOf(documents.get(name))
    rows.push(`| ${name} | ${waitsFor ? `waits for what ${waitsFor} gives, then is planned` : tally(changes)} |`)
    if (changes.length === 0) continue
    const lines = changes.flatMap(linesOf)
    details.push(`<details><summary>${name}</summary>\n\n\`\`\`diff\n${lines.join('\n')}\n\`\`\`\n\n</details>\n`)
  }
  const head = `### ${plan.environment}\n\nPlanned from commit ${plan.commit.slice(0, 12)}.\n`
  return [head, '| stack | plan |', '| --- | --- |', ...rows, '', ...details].join('\n')
}

export function changesOf(document: PlanDocument | undefined): readonly ResourceChange[] {
  return (document?.resource_changes ?? []).filter(
    ({ mode, change }) => mode === 'managed' && change.actions.join() in SIGNS,
  )
}

/** In Terraform's own words; a replacement counts as both. */
function tally(changes: readonly ResourceChange[]): string {
  if (changes.length === 0) return 'no changes'
  const count = (action: string) => changes.filter(({ change }) => change.actions.includes(action)).length
  return `${count('create')} to add, ${count('update')} to change, ${count('delete')} to destroy`
}

function linesOf({ address, change }: ResourceChange): string[] {
  const sign = SIGNS[change.actions.join()] ?? ''
  const lines = [`${sign} ${address}`]
  if (change.actions.join() === 'create' || change.actions.join() === 'delete') return lines
  const { before, after, after_unknown: unknown } = change
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {}), ...Object.keys(unknown ?? {})])
  for (const name of names) {
    const [was, willBe] = [before?.[name], after?.[name]]
    const open = unknown?.[name] === true
    if (!open && JSON.stringify(was) === JSON.stringify(willBe)) continue
    const hidden =
      SECRET_NAME.test(name) || isMarked(change.before_sensitive, name) || isMarked(change.after_sensitive, name)
    lines.push(`${sign}     ${name}: ${show(was, hidden)} → ${open ? '(known after apply)' : show(willBe, hidden)}`)
  }
  return lines
}

/** A mark anywhere below the argument hides all of it. */
function isMarked(marks: boolean | Readonly<Record<string, unknown>>, name: string): boolean {
  if (typeof marks === 'boolean') return marks
  return JSON.stringify(marks?.[name] ?? false).includes('true')
}

function show(value: unknown, hidden: boolean): string {
  if (value === null || value === undefined) return '(none)'
  if (hidden) return '(secret)'
  const text = JSON.stringify(value)
  return typeof value === 'object' || text.length > LONGEST_VALUE ? '…' : text
}
