/**
 * What a deployment test needs: terraform, the AWS provider, and an AWS on this machine. Found by looking, never at a
 * fixed place; what is missing is said by name.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Credentials, Gate } from './iam/gate.ts'

const PROVIDER = 'registry.terraform.io/hashicorp/aws'
const REGION = 'eu-central-1'

/** A Python with moto: MILLRACE_PYTHON, or the one on the PATH. */
const python = process.env.MILLRACE_PYTHON ?? 'python3'

/** Why the tests cannot run here, or undefined. */
export function missing(): string | undefined {
  if (spawnSync('terraform', ['version']).status !== 0) return 'terraform is not on the PATH'
  if (spawnSync(python, ['-c', 'import moto.server']).status !== 0) {
    return `${python} has no moto: pip install 'moto[server]', and name that Python in MILLRACE_PYTHON`
  }
  return undefined
}

export interface Ran {
  readonly code: number
  readonly stdout: string
  /** Standard output and standard error as they came. */
  readonly output: string
}

export interface EmulatedAws {
  /** For terraform, cdktf and the AWS command line. */
  readonly environment: NodeJS.ProcessEnv
  /** Calls an API of AWS that speaks JSON: `call('ecs', 'AmazonEC2ContainerServiceV20141113.ListClusters', {})`. */
  call(service: string, target: string, body: object, region?: string): Promise<Record<string, never>>
  /** Runs a command against it; one that hangs ends after ten minutes, as a failure that says how far it came. */
  run(directory: string, command: string, ...args: string[]): Promise<Ran>
  /** Judges each call of a session; the administrator, who all else here is, may do everything. */
  readonly gate: Gate
  /** Whoever has that access key. */
  as(accessKeyId: string): Pick<Session, 'request'>
  /** Takes on a role like a workflow of GitHub does: `subject` is in its token, such as `repo:example/millrace:pull_request`. */
  session(role: string, subject: string): Promise<Session>
  /** Every call so far, a line each: `once`, `again` (its connection broke) or `not emulated`; what it asked for, what it got. */
  calls(): string[]
  stop(): Promise<void>
}

/** Somebody with the credentials of a role. */
export interface Session extends Pick<EmulatedAws, 'environment' | 'run'> {
  readonly credentials: Credentials
  /** Makes one call, of any protocol; `service` is what it is signed for. */
  request(service: string, request: ApiRequest): Promise<{ readonly status: number; readonly text: string }>
}

export interface ApiRequest {
  /** Default POST. */
  readonly method?: string
  /** Default `/`. */
  readonly path?: string
  /** Of a call in JSON: `AmazonECS.UpdateService`. */
  readonly target?: string
  /** JSON with `target`; a form without. */
  readonly body?: Readonly<Record<string, unknown>>
  /** Default `eu-central-1`. */
  readonly region?: string
}

const ADMINISTRATOR = 'emulated'

/** @param accountId of the one account that it is. */
export async function startEmulatedAws(accountId = '123456789012'): Promise<EmulatedAws> {
  const port = await freePort()
  const child = spawn(python, [resolve(import.meta.dirname, 'aws_emulator.py'), String(port)], {
    env: { ...process.env, MOTO_ACCOUNT_ID: accountId },
    stdio: ['pipe', 'pipe', 'ignore'], // its standard input ends with this process, and it with that
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  await saying(child, 'listening')
  const gate = await Gate.start({
    accountId,
    upstream: `http://127.0.0.1:${port}`,
    administrator: ADMINISTRATOR,
    python,
  })
  const { url } = gate
  const mirror = findMirror()
  const environment = {
    ...process.env,
    AWS_ENDPOINT_URL: url,
    AWS_ACCESS_KEY_ID: ADMINISTRATOR,
    AWS_SECRET_ACCESS_KEY: 'emulated',
    AWS_REGION: REGION,
    CHECKPOINT_DISABLE: '1',
    GOGC: '400', // most of a plan is the start of the provider, and a quarter of that the collection of its garbage
    ...(mirror && { TF_CLI_CONFIG_FILE: cliConfig(mirror), AWS_PROVIDER_VERSION: mirror.version }),
  }
  const calls = () => output.split('\n').slice(1, -1)
  const runAs = async (given: NodeJS.ProcessEnv, directory: string, command: string, args: string[]): Promise<Ran> => {
    const ran = await run(directory, command, args, given)
    if (ran.code !== null) return { ...ran, code: ran.code }
    const last = calls().slice(-30).join('\n')
    return { ...ran, code: 1, output: `${ran.output}\nended by the test; the last calls of AWS:\n${last}` }
  }
  return {
    environment,
    gate,
    as: (accessKeyId) => ({ request: (service, request) => callApi(url, accessKeyId, service, request) }),
    async session(role, subject) {
      const credentials = await assumeRole(url, `arn:aws:iam::${accountId}:role/${role}`, subject)
      const own = {
        ...environment,
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        AWS_SESSION_TOKEN: credentials.sessionToken,
      }
      return {
        credentials,
        environment: own,
        run: (directory, command, ...args) => runAs(own, directory, command, args),
        request: (service, request) => callApi(url, credentials.accessKeyId, service, request),
      }
    },
    async call(service, target, body, region = REGION) {
      const { status, text } = await callApi(url, ADMINISTRATOR, service, { target, body: { ...body }, region })
      if (status >= 300) throw new Error(`${target}: ${status} ${text}`)
      return JSON.parse(text) as Record<string, never>
    },
    run: (directory, command, ...args) => runAs(environment, directory, command, args),
    calls,
    async stop() {
      await gate.stop()
      const ended = new Promise((done) => child.once('exit', done))
      child.stdin?.end()
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
      await ended
      clearTimeout(timer)
    },
  }
}

async function callApi(url: string, accessKeyId: string, service: string, request: ApiRequest) {
  const { method = 'POST', path = '/', target, body, region = REGION } = request
  const scope = `Credential=${accessKeyId}/20260101/${region}/${service}/aws4_request`
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `AWS4-HMAC-SHA256 ${scope}, SignedHeaders=host, Signature=none`,
      ...(target !== undefined && { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target }),
    },
    ...(body && {
      body: target === undefined ? new URLSearchParams(body as Record<string, string>) : JSON.stringify(body),
    }),
  })
  return { status: response.status, text: await response.text() }
}

async function assumeRole(url: string, roleArn: string, subject: string): Promise<Credentials> {
  const claims = { iss: 'https://token.actions.githubusercontent.com', aud: 'sts.amazonaws.com', sub: subject }
  const token = ['', JSON.stringify(claims), ''].map((part) => Buffer.from(part).toString('base64url')).join('.')
  const response = await fetch(url, {
    method: 'POST',
    body: new URLSearchParams({
      Action: 'AssumeRoleWithWebIdentity',
      Version: '2011-06-15',
      RoleArn: roleArn,
      RoleSessionName: 'workflow',
      WebIdentityToken: token,
    }),
  })
  const text = await response.text()
  const value = (name: string) => new RegExp(`<${name}>([^<]*)<`).exec(text)?.[1] ?? ''
  if (!response.ok) throw new Error(value('Message') || text)
  return {
    accessKeyId: value('AccessKeyId'),
    secretAccessKey: value('SecretAccessKey'),
    sessionToken: value('SessionToken'),
  }
}

const LONGEST_RUN_MS = 600_000

function run(directory: string, command: string, args: string[], environment: NodeJS.ProcessEnv) {
  // A group of its own, so that what it started ends with it.
  const child = spawn(command, args, { cwd: directory, env: environment, detached: true })
  let stdout = ''
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  const timer = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'), LONGEST_RUN_MS)
  return new Promise<{ code: number | null; stdout: string; output: string }>((done, fail) => {
    child.on('error', fail)
    child.on('close', (code) => {
      clearTimeout(timer)
      done({ code, stdout, output })
    })
  })
}

/**
 * A mirror of the provider on this machine: named by the configuration of terraform, else wherever it lies. Without one,
 * terraform downloads the provider like anywhere else.
 */
function findMirror(): { directory: string; version: string } | undefined {
  const given = process.env.TF_CLI_CONFIG_FILE
  if (given !== undefined && existsSync(given)) return undefined
  // Most of a machine that builds this is node_modules.
  const elsewhere = ['(', '-name', 'node_modules', '-o', '-name', '.git', '-o', '-path', '/proc', ')', '-prune']
  const { stdout } = spawnSync('find', ['/', ...elsewhere, '-o', '-type', 'd', '-path', `*${PROVIDER}`, '-print'], {
    encoding: 'utf8',
  })
  for (const path of stdout.split('\n').filter((line) => line !== '')) {
    // Caches have the same layout, but terraform cannot install from the cache that it installs into.
    if (/\/\.terraform(\.d\/plugin-cache)?\//.test(path)) continue
    const version = readdirSync(path).find((name) => /^\d+\.\d+\.\d+$/.test(name))
    if (version !== undefined) {
      return { directory: path.slice(0, -PROVIDER.length), version }
    }
  }
  return undefined
}

/** OpenTofu looks for the same provider below the name of its own registry; of what it looks through, only the last may be a link. */
function cliConfig({ directory, version }: { readonly directory: string; readonly version: string }): string {
  const own = mkdtempSync(join(tmpdir(), 'millrace-terraform-'))
  const platforms = join(directory, PROVIDER, version)
  const linked = join(own, PROVIDER.replace('registry.terraform.io', 'registry.opentofu.org'), version)
  mkdirSync(linked, { recursive: true })
  for (const platform of readdirSync(platforms)) symlinkSync(join(platforms, platform), join(linked, platform))
  const mirrors = [directory, own].map((path) => `  filesystem_mirror {\n    path = ${JSON.stringify(path)}\n  }\n`)
  const path = join(own, 'terraformrc')
  writeFileSync(path, `provider_installation {\n${mirrors.join('')}}\n`)
  return path
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once('error', fail)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => done(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

function saying(child: ChildProcess, word: string): Promise<void> {
  return new Promise((done, fail) => {
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (more: string) => {
      text += more
      if (text.includes(word)) done()
    })
    child.once('exit', (code) => fail(new Error(`the emulated AWS ended with ${code} before it was ready`)))
  })
}
