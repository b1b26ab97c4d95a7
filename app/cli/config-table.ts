/** The table of environment variables: `millrace config --markdown`, and the README's. */
import { VARIABLES } from '../config.ts'
import type { Variable } from '../variable.ts'

/** One row for each variable. */
export function configTable(): string {
  const rows = Object.entries(VARIABLES).map(([name, variable]) => {
    const fallback = String(variable.default)
    return `| \`${name}\` | ${fallback === '' ? '' : `\`${fallback}\``} | ${rangeOf(variable)} | ${variable.description} |`
  })
  return ['| variable | default | range | meaning |', '|---|---|---|---|', ...rows].join('\n')
}

/** The valid values of a variable, in Markdown. */
export function rangeOf(variable: Variable): string {
  if (variable.type === 'integer') return `${variable.minimum} … ${variable.maximum}`
  const values = variable.enum ?? variable.items?.enum
  if (values && values.length > 0) return values.map((value) => `\`${value}\``).join(', ')
  return { boolean: '`true`, `false`', array: 'list', string: 'text' }[variable.type]
}
