/** `npm run docs`: writes the generated parts of the documentation, between their marks. */
import { readFileSync, writeFileSync } from 'node:fs'
import { configTable } from '../app/cli/config-table.ts'
import { metricsTable } from '../app/observability/metrics-contract.ts'
import { argumentOptions } from '../infra/ansible/argument-options.ts'
import { costTables, pictureOf } from '../infra/documents.ts'
import { brokersTable, figuresTable, measuredTable, plansTable } from '../infra/sizing/scaling-tables.ts'
import { commandReference, configFileTypes, httpReference, variableReference } from './reference.ts'

/** Each file that has generated parts, and what goes between its marks `<!-- name -->` and `<!-- /name -->`. */
const GENERATED = {
  'README.md': { config: configTable },
  'infra/ansible/roles/millrace/meta/argument_specs.yaml': { config: argumentOptions },
  'docs/reference/variables.md': { variables: variableReference },
  'docs/reference/http.md': { http: httpReference },
  'docs/reference/command-line.md': { commands: commandReference },
  'docs/reference/config-file.md': { 'config-file': configFileTypes },
  'docs/metrics.md': { metrics: metricsTable },
  'docs/infrastructure.md': {
    'picture-single': () => pictureOf('dev'),
    'picture-scaled': () => pictureOf('prod'),
    cost: costTables,
  },
  'docs/scaling.md': { plans: plansTable, measured: measuredTable, figures: figuresTable, brokers: brokersTable },
} as const satisfies Record<string, Record<string, () => string>>

export type GeneratedFile = keyof typeof GENERATED
export const GENERATED_FILES = Object.keys(GENERATED) as GeneratedFile[]

/** The file's text with its generated parts as the code has them now. */
export function render(file: GeneratedFile, text: string): string {
  let rendered = text
  for (const [name, table] of Object.entries<() => string>(GENERATED[file])) {
    const part = new RegExp(`(<!-- ${name} -->\\n)[\\s\\S]*?([^\\n]*<!-- /${name} -->)`)
    if (!part.test(rendered)) throw new Error(`${file} has no marks <!-- ${name} --> … <!-- /${name} -->`)
    rendered = rendered.replace(part, (_, begin: string, end: string) => `${begin}${table()}\n${end}`)
  }
  return rendered
}

export function pathOf(file: GeneratedFile): URL {
  return new URL(`../${file}`, import.meta.url)
}

if (process.argv[1] === import.meta.filename) {
  for (const file of GENERATED_FILES) writeFileSync(pathOf(file), render(file, readFileSync(pathOf(file), 'utf8')))
}
