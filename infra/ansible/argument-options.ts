/** The service's variables as Ansible checks them: the part of the role's argument_specs.yaml that `npm run docs` writes. */
import { VARIABLES } from '../../app/config.ts'
import type { Variable } from '../../app/variable.ts'

/** The role sets these itself, from its own variables. */
const OF_THE_ROLE = ['DATA_DIR', 'API_KEYS', 'API_KEYS_FILE']
const INDENT = ' '.repeat(10)

/** YAML, indented as it lies in the file. */
export function argumentOptions(): string {
  return Object.entries(VARIABLES)
    .filter(([name]) => !OF_THE_ROLE.includes(name))
    .flatMap(([name, variable]) => [`${name}:`, ...describe(name, variable).map((line) => `  ${line}`)])
    .map((line) => INDENT + line)
    .join('\n')
}

function describe(name: string, variable: Variable): string[] {
  const values = variable.enum ?? variable.items?.enum ?? []
  const type = { integer: 'int', boolean: 'bool', array: 'list', string: 'str' }[variable.type]
  return [
    `description: ${JSON.stringify(variable.description)}`,
    `type: ${type}`,
    ...(type === 'list' ? ['elements: str'] : []),
    ...(values.length > 0 ? [`choices: [${values.map((one) => JSON.stringify(one)).join(', ')}]`] : []),
    ...(/TOKEN|SECRET|PASSWORD|POSTGRES_SINK_URL/.test(name) ? ['no_log: true'] : []),
  ]
}
