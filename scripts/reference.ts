/** The generated parts of `docs/reference/`: each is made from the source that also decides what the service does. */
import { readFileSync } from 'node:fs'
import { STATUS_CODES } from 'node:http'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { rangeOf } from '../app/cli/config-table.ts'
import { VARIABLES } from '../app/config.ts'
import { ROUTES, SHARED } from '../app/http/documented-routes.ts'

const PROJECT = resolve(import.meta.dirname, '..')
const program = await loadProgram()

/** Headings of the page of variables; a variable is under the first one that its name fits. */
const VARIABLE_GROUPS: readonly (readonly [string, RegExp])[] = [
  ['Clients and limits', /^(API_KEYS|AUTH_|STAMP_|ALLOW_ANONYMOUS|RATE_LIMIT_|QUOTA_)/],
  ['TLS', /^TLS_/],
  ['Public listener', /^(HOST$|PORT$|WORKERS|ACK$|MAX_|IN_PROGRESS_)/],
  ['Log', /^(LOG_(?!LEVEL)|DATA_DIR|CHANNEL_|GROUP_|DEDUPLICATION_)/],
  ['Kafka', /^KAFKA_/],
  ['Handlers and retries', /^(HANDLER|DELIVERY_|RETRY_|DEAD_LETTER_)/],
  ['Destinations', /^SINKS$/],
  ['Files', /^FILE_SINK_/],
  ['HTTP', /^HTTP_SINK_/],
  ['S3', /^S3_SINK_/],
  ['PostgreSQL', /^POSTGRES_SINK_/],
  ['Admin listener', /^ADMIN_/],
  ['Process and observability', /^/],
]

/** A heading for each variable, so that each has an anchor and search finds it. */
export function variableReference(): string {
  const groupOf = (name: string) => VARIABLE_GROUPS.findIndex(([, pattern]) => pattern.test(name))
  return VARIABLE_GROUPS.map(([title], group) => {
    const variables = Object.entries(VARIABLES).filter(([name]) => groupOf(name) === group)
    const described = variables.map(([name, variable]) => {
      const fallback = String(variable.default)
      const facts = `Default: ${fallback === '' ? 'none' : `\`${fallback}\``} · ${rangeOf(variable)}`
      return `\n### ${name}\n\n${variable.description}\n\n${facts}`
    })
    return [`\n## ${title}`, ...described].join('\n')
  }).join('\n')
}

/** Each public route with what it takes and what it answers; then the members of the answers. */
export function httpReference(): string {
  const bodies = SHARED.map((schema: { $id?: string; properties: Readonly<Record<string, object>> }) => {
    const rows = Object.entries<{ type?: string; description?: string }>(schema.properties)
    const table = rows.map(
      ([name, { type = '', description = '' }]) => `| \`${name}\` | ${type} | ${description.replaceAll('<', '&lt;')} |`,
    )
    return [`\n## ${schema.$id}\n`, '| member | type | meaning |', '|---|---|---|', ...table].join('\n')
  })
  const routes = ROUTES.map(({ method, url, schema }) => {
    const {
      summary = '',
      description = '',
      body,
      response = {},
    } = schema as {
      summary?: string
      description?: string
      body?: { content: Readonly<Record<string, unknown>> }
      response?: Readonly<Record<string, { description?: string; headers?: Readonly<Record<string, unknown>> }>>
    }
    const types = Object.keys(body?.content ?? {}).map((type) => `\`${type}\``)
    const answers = Object.entries(response).map(
      ([status, { description: meaning = STATUS_CODES[status], headers = {} }]) => {
        const names = Object.keys(headers).map((name) => `\`${name}\``)
        return `| \`${status}\` | ${meaning} | ${names.join(', ')} |`
      },
    )
    return [
      `\n## ${method} ${url}`,
      `${summary}. ${description}`.trim(),
      ...(types.length > 0 ? [`Content types: ${types.join(', ')}.`] : []),
      ['| answer | meaning | headers |', '|---|---|---|', ...answers].join('\n'),
    ].join('\n\n')
  })
  return [...routes, ...bodies].join('\n')
}

const HELP_WIDTH = 100

/** The help of each command, and of each command of a command. */
export function commandReference(): string {
  return helpOf(program, []).join('\n')
}

function helpOf(command: Command, parents: readonly string[]): string[] {
  command.configureOutput({ getOutHelpWidth: () => HELP_WIDTH })
  const names = [...parents, command.name()]
  const own = `\n## ${names.join(' ')}\n\n\`\`\`text\n${command.helpInformation().trimEnd()}\n\`\`\``
  return [own, ...command.commands.flatMap((child) => helpOf(child, names))]
}

/** The program of app/cli.ts. It runs as soon as it is imported, so this takes the place of what reads the arguments. */
async function loadProgram(): Promise<Command> {
  const { prototype } = Command
  const { parseAsync } = prototype
  const loaded = Promise.withResolvers<Command>()
  prototype.parseAsync = async function (this: Command) {
    loaded.resolve(this)
    return this
  }
  try {
    await import('../app/cli.ts')
    return await loaded.promise
  } finally {
    prototype.parseAsync = parseAsync
  }
}

/** The interfaces that a config file is checked against, as their files have them. */
export function configFileTypes(): string {
  const interfaces = [
    interfaceOf('app/config-file/define.ts', 'UserConfig'),
    interfaceOf('app/delivery/route.ts', 'RouteParts'),
    interfaceOf('app/delivery/route.ts', 'BuiltInRoute'),
    interfaceOf('app/delivery/route.ts', 'OwnRoute'),
    interfaceOf('app/sinks/sink.ts', 'Sink'),
  ]
  return `\`\`\`ts\n${interfaces.join('\n\n')}\n\`\`\``
}

function interfaceOf(file: string, name: string): string {
  const text = readFileSync(resolve(PROJECT, file), 'utf8')
  const found = new RegExp(`^(?:export )?(interface ${name}\\b[\\s\\S]*?\\n\\})`, 'm').exec(text)?.[1]
  if (found === undefined)
    throw new Error(`${file} has no interface ${name}: name it in scripts/reference.ts as it is now`)
  return found
}
