#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node
/**
 * The command line: `npx millrace <command>` or `npm run millrace -- <command>`; `--help` everywhere.
 * Exit codes: docs/decisions/0025-command-line.md.
 */
import { existsSync } from 'node:fs'
import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { localUrl } from './cli/address.ts'
import { configTable } from './cli/config-table.ts'
import { EXIT_FAILED, note, print, watchOutput } from './cli/output.ts'
import { wholeNumber } from './cli/whole-number.ts'
import { loadConfig, VARIABLES } from './config.ts'
import { ALIAS_PREFIX, withSetting } from './environment.ts'
import { MillraceError, messageOf } from './errors.ts'
import { printable, printableLines } from './process/printable.ts'

const EXIT_USAGE = 2
const PLANNER = new URL('../infra/sizing/main.ts', import.meta.url)
const MAX_SENT_EVENTS = 1_000_000
const MAX_SENT_REQUESTS = 1000
const MAX_BODY_BYTES = VARIABLES.MAX_BODY_BYTES?.maximum

const CONFIG_OPTION = [
  '-c, --config <file>',
  'handlers, sinks and routes (default: millrace.config.ts, .js or .mjs, here or beside app/)',
] as const

interface ConfigOptions {
  readonly markdown?: boolean
  readonly describe?: boolean
  readonly check?: boolean
  readonly config?: string
}

const dataDirectory = () => setting('DATA_DIR')
const adminUrl = () => localUrl(setting('ADMIN_HOST'), setting('ADMIN_PORT'))
const publicUrl = () => localUrl(setting('HOST'), setting('PORT'))

/** The value that the service would use; not validated, because a command may not need it. */
function setting(name: string): string {
  return process.env[name] || process.env[`${ALIAS_PREFIX}${name}`] || String(VARIABLES[name]?.default)
}

const program = new Command('millrace')
  .description('Event pipeline: HTTP in, durable when answered, delivered at least once.')
  .version(packageJson.version)
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(printableLines(text)) })
  .addHelpText(
    'after',
    '\nExit codes: 0 done · 1 something was refused, damaged, missing or failed · 2 wrong command or configuration',
  )

program
  .command('serve')
  .description('run the service; configured by environment variables and a config file (see: millrace config)')
  .option(...CONFIG_OPTION)
  .action(async ({ config }: { config?: string }) => {
    const { serve } = await import('./main.ts')
    await serve(process.env, { configFile: config })
  })

program
  .command('config')
  .description('show the configuration that a start would have, and where each value comes from; secrets are hidden')
  .option(...CONFIG_OPTION)
  .option('--describe', 'every environment variable with its default and meaning instead')
  .option('--markdown', 'the same as the table of the README')
  .option('--check', 'try what a start would, without changing anything; one line and exit code 2 if it is impossible')
  .action(async ({ markdown, describe, check, config }: ConfigOptions) => {
    if (markdown) await print(configTable())
    else if (check) {
      const { checkConfiguration } = await import('./cli/check.ts')
      process.exitCode = (await checkConfiguration(process.env, config)) ? 0 : EXIT_USAGE
    } else if (!describe) {
      const { reportConfiguration } = await import('./cli/config-report.ts')
      await reportConfiguration(process.env, config)
    } else {
      for (const [name, { default: fallback, description }] of Object.entries(VARIABLES))
        if (!(await print(`${name}=${fallback}\n    ${description}`))) break
    }
  })

program
  .command('plan')
  .description('what a load needs, and what that costs; not in the image')
  .helpOption(false)
  .allowUnknownOption()
  .argument('[options...]', 'see: millrace plan --help')
  .action(async (options: string[]) => {
    // The planner is in infra/ with the stacks that it describes. The image has neither.
    if (!existsSync(PLANNER)) {
      throw new MillraceError('CONFIG_INVALID', 'plan is not part of the image: run it in a clone or a project')
    }
    const { planCommand } = await import(PLANNER.href)
    await planCommand(program).parseAsync(options, { from: 'user' })
  })

program
  .command('upgrade')
  .description(
    'in a project, after npm install millrace@latest: what changes for it; exit code 1 when something has to be done',
  )
  .option('--check', 'only say it; without this, package.json gets the installed version when nothing has to be done')
  .option('--from <version>', 'version that the project was made for (default: "millrace".version in package.json)')
  .action(async ({ check = false, from }: { check?: boolean; from?: string }) => {
    const { upgrade } = await import('./cli/upgrade.ts')
    finish(await upgrade({ check, from, dataDirectory: dataDirectory() }))
  })

program
  .command('send')
  .description('send events from a file, from standard input (-), or generated')
  .argument(
    '[file]',
    'NDJSON, or JSON arrays and objects, in UTF-8, also as .gz or .zst; - reads standard input; without it events are generated',
  )
  .option('-u, --url <url>', 'where to send to', publicUrl())
  .option('-k, --key <key>', 'API key (or MILLRACE_KEY)', process.env.MILLRACE_KEY)
  .option('-n, --count <events>', 'how many events to generate', wholeNumber(1), 1000)
  .option('-r, --rate <events>', 'events a second; 0 is as fast as it goes', wholeNumber(0, MAX_SENT_EVENTS), 0)
  .option('-b, --batch <events>', 'events in one request, at most', wholeNumber(1, MAX_SENT_EVENTS), 100)
  .option(
    '-m, --max-bytes <bytes>',
    'bytes in one request, at most; an event that is larger goes alone (or MAX_BODY_BYTES)',
    wholeNumber(1, MAX_BODY_BYTES),
    Number(setting('MAX_BODY_BYTES')) || Number(VARIABLES.MAX_BODY_BYTES?.default),
  )
  .option('-c, --concurrency <requests>', 'requests at once', wholeNumber(1, MAX_SENT_REQUESTS), 8)
  .option('-q, --quiet', 'no progress bar, only the summary')
  .addHelpText(
    'after',
    `
An event that is refused costs only itself and is named by its line; then the exit code is 1. Ctrl-C says how far it came.
A request without an answer is sent again, so its events may be stored twice: give them ids, and the service DEDUPLICATION_WINDOW_EVENTS.`,
  )
  .action(async (file: string | undefined, options) => {
    const { send } = await import('./cli/send.ts')
    finish(await send({ ...options, file }))
  })

const log = program.command('log').description('look into the log, beside a running service or without one')
const logDirectory = () => `${dataDirectory()}/log`

log
  .command('inspect')
  .description('list segments and groups')
  .option('-d, --dir <directory>', 'log directory', logDirectory())
  .option('-f, --from <offset>', 'first offset', wholeNumber(0), 0)
  .option('-n, --groups <groups>', 'most groups to show', wholeNumber(1), 20)
  .option('-e, --events', 'show the stored events as well')
  .action(async (options) => {
    const { inspect } = await import('./cli/log.ts')
    finish(await inspect(options))
  })

log
  .command('verify')
  .description('check every checksum; exit code 1 when something is damaged')
  .option('-d, --dir <directory>', 'log directory', logDirectory())
  .action(async (options) => {
    const { verify } = await import('./cli/log.ts')
    finish(await verify(options))
  })

log
  .command('repair')
  .description('explain what is wrong with the log of a service that is not running, and with --yes fix what can be')
  .option('-d, --dir <directory>', 'log directory', logDirectory())
  .option('--yes', 'do what was explained; nothing is deleted, damaged bytes are kept in quarantine/')
  .action(async ({ dir, yes = false }) => {
    const { repair } = await import('./cli/log.ts')
    finish(await repair({ dir, yes }))
  })

log
  .command('replay')
  .description(
    'write stored events to standard output as complete CloudEvents: pipe them into "millrace send -" or a file',
  )
  .option('-d, --dir <directory>', 'log directory', logDirectory())
  .option('-f, --from <offset>', 'first offset', wholeNumber(0), 0)
  .option('-t, --to <offset>', 'offset to stop before', wholeNumber(0), Number.MAX_SAFE_INTEGER)
  .action(async (options) => {
    const { replay } = await import('./cli/log.ts')
    finish(await replay(options))
  })

const dlq = program.command('dlq').description('dead letters: events that a handler or sink failed on for good')

dlq
  .command('list')
  .description('list dead letters that were not replayed yet')
  .option('-s, --sink <sink>', 'only of this sink')
  .option('-n, --limit <letters>', 'most letters of each sink', wholeNumber(1), 100)
  .option('--json', 'one JSON object a line, with the whole event')
  .option(
    '-a, --admin <url>',
    'ask the service with this admin listener instead of the disk (always so with LOG_ENGINE=kafka)',
    setting('LOG_ENGINE') === 'kafka' ? adminUrl() : undefined,
  )
  .action(async (options) => {
    const { list } = await import('./cli/dlq.ts')
    finish(await list({ ...options, dataDirectory: dataDirectory() }))
  })

dlq
  .command('replay')
  .description('deliver the dead letters again, through the running service')
  .option('-s, --sink <sink>', 'only of this sink')
  .option('-a, --admin <url>', 'admin listener of the service', adminUrl())
  .action(async (options) => {
    const { replay } = await import('./cli/dlq.ts')
    finish(await replay(options))
  })

program
  .command('handler')
  .description('your handlers, without a service')
  .command('test')
  .description('run handlers over a file and show what goes in and what comes out; exit code 1 when one fails')
  .argument('<file>', 'events as they would be sent: see millrace send')
  .option(
    '-H, --handlers <names>',
    'names of handlers in the config file, separated by commas (or HANDLERS)',
    setting('HANDLERS'),
  )
  .option(...CONFIG_OPTION)
  .action(async (file: string, { handlers, config: configFile }: { handlers?: string; config?: string }) => {
    if (!handlers) throw new MillraceError('CONFIG_INVALID', 'which handlers? name them with --handlers or HANDLERS')
    const { testHandlers } = await import('./cli/handler.ts')
    const config = loadConfig(withSetting(process.env, 'HANDLERS', handlers))
    const { HANDLERS, HANDLER_TIMEOUT_MS: timeoutMs, HANDLER_THREADS: threads } = config
    finish(await testHandlers({ file, handlers: HANDLERS, timeoutMs, threads, config: configFile }))
  })

program
  .command('postgres')
  .description('the database of the postgres sink (POSTGRES_SINK_URL and the other POSTGRES_SINK_ variables)')
  .command('migrate')
  .description('make the table, or the partitions of the next days; again at any time, beside a running service')
  .option('--partition-by-day', 'make a new table with a partition for each day of "time"')
  .option('--days <n>', 'days from today on that get a partition', wholeNumber(1, 366), 7)
  .option('--dry-run', 'show the statements, change nothing')
  .action(async ({ partitionByDay = false, days, dryRun = false }) => {
    const { migratePostgres } = await import('./cli/postgres.ts')
    const { postgresConnection } = await import('./sinks/open.ts')
    const config = loadConfig(withSetting(process.env, 'SINKS', 'postgres'))
    const options = { table: config.POSTGRES_SINK_TABLE, partitionByDay, days, now: new Date() }
    await migratePostgres(postgresConnection(config), options, dryRun)
  })

/** Does not call process.exit, because output in a pipe must still arrive. */
function finish(ok: boolean): void {
  if (!ok) process.exitCode = EXIT_FAILED
}

watchOutput()
try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof Error && 'exitCode' in error) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE // commander has printed the reason
  } else {
    note(`millrace: ${printable(messageOf(error))}`)
    process.exitCode = error instanceof MillraceError && error.code === 'CONFIG_INVALID' ? EXIT_USAGE : EXIT_FAILED
  }
}
