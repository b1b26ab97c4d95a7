/**
 * Every command that the documents tell to run: run here, in the order of its page, in a copy of the project; or run by another suite;
 * or named with what it needs that a test has not. A command that is in none of these lists fails.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory } from './support/temporary.ts'

const PROJECT = resolve(import.meta.dirname, '..')
const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync(join(PROJECT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md') && !file.startsWith('decisions/'))
    .map((file) => join('docs', file)),
]
/** What a command needs that this test has not, or which suite runs it. */
const ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/^npm ci( |$)/, '.ci/run, on a clean clone'],
  [
    /^([A-Z_]+=\S+ )*npm (test|run (unit|format|test:\w+|scan|bench(:peers)?|soak|audit))( |$)/,
    '.ci/run, or is the test itself',
  ],
  [/^npm run (synth|plan|deploy|destroy|pipeline)( |$)|^npx cdktf |^terraform -chdir/, 'test:deploy; else needs AWS'],
  [/^npm run monitor$/, 'test:monitoring'],
  [/^npm create millrace|^cd my-pipeline|^npx millrace upgrade|^npm run npm-packages$/, 'test:package'],
  [/^npm run package$|^ansible|^cp inventory|^cd infra\/ansible$/, 'test:ansible'],
  [/^(systemctl|journalctl|ssh|sudo|cp) /, 'needs a machine that Ansible has installed'],
  [/^(aws|cosign|gh|docker buildx|npm publish) /, 'needs AWS, GitHub or npm'],
  [/^docker /, 'needs a container engine; test:image runs the image'],
  [/^GRAFANA_URL=/, 'needs a Grafana'],
  [/^(export LOG_ENGINE=kafka|ROLE=)/, 'needs brokers; test:kafka runs the same'],
  [/^export SINKS=postgres|^npx millrace postgres/, 'needs a PostgreSQL; test:sinks runs the same'],
  [/^npx millrace log repair/, 'needs a service that is stopped; test/cli/log-repair.test.ts runs the same'],
  [
    /^(apt-get|pip|git revert|npm install|npm uninstall|npm version|npm run (docs:)?dev)( |$)/,
    'changes the machine, or does not end',
  ],
]

/** Commands that say that the log is damaged, where it is. */
const EXIT_CODES_DAMAGED: Readonly<Record<string, number>> = {
  'npx millrace log verify': 1,
  'npx millrace log inspect': 1,
  'npx millrace log replay': 1,
}

/** The commands of a page in their order: its shell blocks, and those within its sentences. */
function commandsOf(page: string): string[] {
  const text = readFileSync(join(PROJECT, page), 'utf8')
  const program =
    '(?:npm|npx|node|curl|docker|terraform|aws|gh|git|apt-get|pip|cosign|ansible\\S*|cp|systemctl|journalctl|ssh|sudo)'
  const found = new RegExp(`^ *\`\`\`(\\S*).*\\n([\\s\\S]*?)^ *\`\`\`$|\`((?:[A-Z_]+=\\S+ )*${program} [^\`]+)\``, 'gm')
  return [...text.matchAll(found)].flatMap(([, language, block = '', inline]) =>
    inline === undefined ? (language === 'sh' ? linesOf(block) : []) : linesOf(inline),
  )
}

/** One command a line, without its comment; a loop or a file written line by line stays together. */
function linesOf(text: string): string[] {
  const whole = /^(?:cat > [\s\S]*?\nEND|for [\s\S]*?\ndone)$/gm
  const together = [...text.matchAll(whole)].map(([command]) => command)
  const lines = text
    .replace(whole, (command) => `\u0000${together.indexOf(command)}`)
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .flatMap((line) => line.replace(/\s+# .*$/, '').split(' && '))
  return lines.flatMap((line) => {
    const command = line.startsWith('\u0000') ? (together[Number(line.slice(1))] ?? '') : line.trim()
    return command === '' ? [] : [command]
  })
}

/** A clone as a newcomer has it, and the service that its commands start. */
class Newcomer {
  readonly directory = temporaryDirectory()
  #service: ChildProcess | undefined
  #ports = { PORT: '0', ADMIN_PORT: '0' }
  #hasRunNpx = false

  constructor() {
    const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
      cwd: PROJECT,
      encoding: 'utf8',
    })
    for (const file of files.split('\0').filter((name) => name !== '' && existsSync(join(PROJECT, name)))) {
      cpSync(join(PROJECT, file), join(this.directory, file))
    }
    const identity = ['-c', 'user.name=newcomer', '-c', 'user.email=newcomer@example.com']
    for (const args of [
      ['init', '-q'],
      ['add', '.'],
      [...identity, 'commit', '-q', '-m', 'clone'],
    ]) {
      execFileSync('git', args, { cwd: this.directory })
    }
    symlinkSync(join(PROJECT, 'node_modules'), join(this.directory, 'node_modules'))
    writeFileSync(join(this.directory, 'events.ndjson'), '{"data":1}\n{"data":2}\n')
    writeFileSync(join(this.directory, 'FILE'), '{"data":3}\n')
    onTestFinished(() => this.#kill())
  }

  /** Runs one command; what does not end by itself goes on until the next one takes its place. */
  async run(command: string): Promise<{ readonly code: number; readonly output: string }> {
    if (/(^| )npm start$/.test(command)) return this.#start(command)
    const child = spawn('bash', ['-c', this.#here(command)], { cwd: this.directory, env: this.#environment() })
    const output = collect(child)
    const [code] = await once(child, 'close')
    return { code, output: output() }
  }

  async stop(): Promise<void> {
    if (this.#service === undefined || hasEnded(this.#service)) return
    const ended = once(this.#service, 'exit')
    if (this.#service.pid !== undefined) process.kill(-this.#service.pid, 'SIGINT') // Ctrl-C reaches all of a terminal
    await ended
  }

  /** After a failure: nothing of it stays behind. */
  #kill(): void {
    if (this.#service?.pid === undefined || hasEnded(this.#service)) return
    process.kill(-this.#service.pid, 'SIGKILL')
  }

  async #start(command: string): Promise<{ readonly code: number; readonly output: string }> {
    await this.stop()
    this.#ports = { PORT: '0', ADMIN_PORT: '0' }
    const options = { cwd: this.directory, env: this.#environment(), detached: true }
    const child = spawn('bash', ['-c', command], options)
    this.#service = child
    const output = collect(child)
    while (!hasEnded(child)) {
      const [, port, adminPort] =
        /ready: send events to http:\S+?:(\d+)\/.* metrics http:\S+?:(\d+)\//.exec(output()) ?? []
      if (port !== undefined && adminPort !== undefined) {
        this.#ports = { PORT: port, ADMIN_PORT: adminPort }
        return { code: 0, output: output() }
      }
      await new Promise((done) => setTimeout(done, 50))
    }
    return { code: child.exitCode ?? 1, output: output() }
  }

  /** The ports of this test instead of the usual ones. npx needs a second to find `millrace`, so it does so only once. */
  #here(command: string): string {
    const { PORT, ADMIN_PORT } = this.#ports
    const found = this.#hasRunNpx ? command.replaceAll('npx millrace', 'node app/cli.ts') : command
    this.#hasRunNpx ||= command.includes('npx millrace')
    return found
      .replaceAll('localhost:3000', `localhost:${PORT}`)
      .replaceAll('localhost:9464', `localhost:${ADMIN_PORT}`)
  }

  #environment(): NodeJS.ProcessEnv {
    const { PATH, HOME } = process.env
    const HTTP_SINK_URL = `http://localhost:${(receiver.address() as AddressInfo).port}/`
    return { PATH, HOME, SHUTDOWN_GRACE_MS: '0', HTTP_SINK_URL, ...this.#ports }
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

function collect(child: ChildProcess): () => string {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => (output += text))
  return () => output
}

const ran: string[] = []
const elsewhere: string[] = []
/** Takes whatever the http sink sends. */
const receiver = createServer((_, response) => void response.writeHead(204).end())

beforeAll(() => new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done)))
afterAll(() => {
  receiver.close()
  console.error(`commands of the documents: ${ran.length} of ${ran.length} run here; elsewhere ${elsewhere.length}:`)
  for (const [pattern, where] of ELSEWHERE) {
    const those = new Set(elsewhere.filter((command) => pattern.test(command)))
    if (those.size > 0) console.error(`  ${where}: ${[...those].join(' · ')}`)
  }
})

/** Pages that start the service themselves; the others are read while one runs. */
const GUIDES = ['README.md', 'docs/README.md', 'docs/first-hour.md', 'docs/send.md']

test.each(GUIDES)('%s: every command works, one after the other', { timeout: 120_000 }, async (page) => {
  const newcomer = new Newcomer()
  writeExamples(newcomer, page)
  await runAll(newcomer, commandsOf(page))
})

test('the other pages: every command works beside a service that has seen trouble', { timeout: 120_000 }, async () => {
  const commands = PAGES.filter((page) => !GUIDES.includes(page)).flatMap(commandsOf)
  const newcomer = new Newcomer()
  await prepare(newcomer)
  await runAll(newcomer, [...new Set(commands)], EXIT_CODES_DAMAGED)
})

async function runAll(
  newcomer: Newcomer,
  commands: readonly string[],
  exitCodes: Readonly<Record<string, number>> = {},
): Promise<void> {
  for (const command of commands) {
    if (ELSEWHERE.some(([pattern]) => pattern.test(command))) {
      elsewhere.push(command)
      continue
    }
    const { code, output } = await newcomer.run(command)
    expect(code, `${command}\n${output}`).toBe(exitCodes[command] ?? 0)
    ran.push(command)
  }
  await newcomer.stop()
}

/** A handler that a page shows as a file: written where its first line says, and named where the page says. */
function writeExamples(newcomer: Newcomer, page: string): void {
  const text = readFileSync(join(PROJECT, page), 'utf8')
  for (const [, path = '', name = '', source = ''] of text.matchAll(
    /^```ts\n\/\/ (handlers\/(\w+)\.ts)\n([\s\S]*?)^```$/gm,
  )) {
    mkdirSync(join(newcomer.directory, 'handlers'), { recursive: true })
    writeFileSync(join(newcomer.directory, path), source)
    const index = join(newcomer.directory, 'millrace.config.ts')
    const config = readFileSync(index, 'utf8').replace('handlers: { sample }', `handlers: { sample, ${name} }`)
    writeFileSync(index, `import { ${name} } from './${path}'\n${config}`)
  }
}

/** For pages about trouble: a service with an http sink that has dead letters to come, and a log with a damaged record. */
async function prepare(newcomer: Newcomer): Promise<void> {
  await newcomer.run('npm start')
  for (let group = 0; group < 3; group++) await newcomer.run('npx millrace send events.ndjson --quiet')
  await newcomer.stop()
  const log = join(newcomer.directory, 'data/log')
  const segment = join(log, readdirSync(log).find((name) => name.endsWith('.seg')) ?? 'no segment')
  const bytes = readFileSync(segment)
  const inside = bytes.indexOf('"data":1')
  bytes[inside] = (bytes[inside] ?? 0) ^ 1
  writeFileSync(segment, bytes)
  const { code, output } = await newcomer.run('SINKS=file,http npm start')
  expect(code, output).toBe(0)
  while (!existsSync(join(log, 'quarantine'))) await new Promise((done) => setTimeout(done, 50))
}
