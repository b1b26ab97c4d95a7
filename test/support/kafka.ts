/**
 * Apache Kafka in KRaft mode, as processes on the loopback of this machine. Each node is broker and controller, so a
 * cluster of three goes on when one node is killed.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin } from '@platformatic/kafka'
import type { KafkaConnection } from '../../app/log/kafka/connection.ts'
import { type Authorize, type SignIns, startIamFront } from './kafka-iam.ts'
import { kafkaJars } from './kafka-jars.ts'
import { freePorts } from './ports.ts'

const CLUSTER_ID = 'bWlsbHJhY2UtdGVzdHMtMQ'
const LEAST_JAVA = 17
const START_TIMEOUT_MS = 60_000
export const SCRAM_USER = 'millrace'
export const SCRAM_PASSWORD = 'a-password/with:symbols!'
export const IAM_REGION = 'eu-central-1'
export const IAM_SESSION_MS = 5000
const STORE_PASSWORD = 'of no use outside of the test'

/** Brokers that are there already, for the tests that need no more than that: `KAFKA_BROKERS`. */
export const GIVEN_BROKERS = process.env.KAFKA_BROKERS?.split(',')

/** Why brokers of our own cannot be had here, or undefined. */
export function missing(): string | undefined {
  const { stderr, error } = spawnSync('java', ['-version'], { encoding: 'utf8' })
  if (error) return `java is not on the PATH: apt-get install openjdk-${LEAST_JAVA}-jre-headless`
  const version = Number(/version "(\d+)/.exec(stderr)?.[1])
  if (!(version >= LEAST_JAVA)) return `Java ${version} is too old for Kafka 4: ${LEAST_JAVA} or newer`
  return spawnSync('openssl', ['version']).error ? 'openssl is not on the PATH: apt-get install openssl' : undefined
}

interface Ports {
  readonly plain: number
  readonly controller: number
  readonly scram: number
  readonly mtls: number
  /** Of the front that signs clients in with IAM, and of the listener behind it. */
  readonly iam: number
  readonly behindIam: number
}

export interface KafkaOptions {
  /** Nodes, numbered from 1. Default 1. */
  readonly brokers?: number
  /** Opens listeners with SCRAM, with client certificates and with IAM as well. */
  readonly secure?: boolean
  /** Judges what comes through the listener with IAM. */
  readonly authorize?: Authorize
}

export class Kafka {
  readonly directory: string
  readonly #jars: string
  readonly #ports: readonly Ports[]
  readonly #secure: boolean
  readonly #authorize: Authorize | undefined
  readonly #nodes = new Map<number, ChildProcess>()
  readonly #fronts: { stop(): void }[] = []
  readonly signIns: SignIns = { count: 0, refused: [] }

  private constructor(
    directory: string,
    jars: string,
    ports: readonly Ports[],
    { secure = false, authorize }: KafkaOptions,
  ) {
    this.directory = directory
    this.#jars = jars
    this.#ports = ports
    this.#secure = secure
    this.#authorize = authorize
  }

  /**
   * Starts a cluster and waits until it takes writes.
   */
  static async start(options: KafkaOptions = {}): Promise<Kafka> {
    const { brokers = 1, secure = false } = options
    const jars = await kafkaJars()
    const directory = mkdtempSync(join(tmpdir(), 'millrace-kafka-'))
    const all = await freePorts(6 * brokers)
    const ports = Array.from({ length: brokers }, (_, node) => {
      const [plain = 0, controller = 0, scram = 0, mtls = 0, iam = 0, behindIam = 0] = all.slice(6 * node)
      return { plain, controller, scram, mtls, iam, behindIam }
    })
    const kafka = new Kafka(directory, jars, ports, options)
    try {
      if (secure) makeCertificates(directory)
      for (const node of kafka.nodes) kafka.#format(node)
      await Promise.all(kafka.nodes.map((node) => kafka.start(node)))
      if (secure) await kafka.#startFronts()
      await kafka.whenWhole()
    } catch (error) {
      await kafka.stop()
      throw error
    }
    return kafka
  }

  get nodes(): number[] {
    return this.#ports.map((_, at) => at + 1)
  }

  get brokers(): string[] {
    return this.#ports.map(({ plain }) => `127.0.0.1:${plain}`)
  }

  /** How a client reaches it. */
  connection(auth: 'none' | 'scram-sha-512' | 'mtls' | 'msk-iam' = 'none'): KafkaConnection {
    const port = { none: 'plain', 'scram-sha-512': 'scram', mtls: 'mtls', 'msk-iam': 'iam' } as const
    const file = (name: string) => (auth === 'none' ? '' : join(this.directory, name))
    return {
      brokers: this.#ports.map((ports) => `127.0.0.1:${ports[port[auth]]}`),
      auth,
      username: SCRAM_USER,
      password: SCRAM_PASSWORD,
      caFile: file('ca.pem'),
      certFile: file('client.pem'),
      keyFile: file('client.key'),
      awsRegion: IAM_REGION,
      requestTimeoutMs: 3000,
    }
  }

  /** Starts a node, and resolves when it answers. */
  async start(node: number): Promise<void> {
    const log = openSync(join(this.directory, `${node}.log`), 'a')
    // Small and quick to start; a test's broker has little to do.
    const options = ['-Xms256m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData']
    const child = spawn(
      'java',
      [...options, ...this.#classpath, 'kafka.Kafka', join(this.directory, `${node}.properties`)],
      { stdio: ['ignore', log, log] },
    )
    closeSync(log)
    this.#nodes.set(node, child)
    const end = () => child.kill('SIGKILL') // not even a test that dies leaves it behind
    process.once('exit', end)
    child.once('exit', () => process.off('exit', end))
    const deadline = performance.now() + START_TIMEOUT_MS
    while (!(await answers(this.#portsOf(node).plain))) {
      if (hasEnded(child) || performance.now() > deadline) {
        throw new Error(`node ${node} did not start:\n${this.#tail(node)}`)
      }
      await sleep(100)
    }
  }

  /** Ends a node: SIGKILL as a crash does, SIGTERM as an operator does. */
  async kill(node: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#nodes.get(node)
    if (child === undefined || hasEnded(child)) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }

  /** A node that hangs, or whose network does: it keeps its connections and says nothing. */
  pause(node: number): void {
    this.#nodes.get(node)?.kill('SIGSTOP')
  }

  resume(node: number): void {
    this.#nodes.get(node)?.kill('SIGCONT')
  }

  /** Resolves when every node that runs is known to the cluster and every partition has all its copies in sync. */
  async whenWhole(timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const admin = this.admin()
      try {
        const topics = await admin.listTopics({ includeInternals: true })
        const { brokers, topics: found } = await admin.metadata({ topics, forceUpdate: true })
        const partitions = [...found.values()].flatMap((topic) => topic?.partitions ?? [])
        const lagging = partitions.filter(({ isr, replicas }) => isr.length < replicas.length)
        if (brokers.size === this.nodes.length && lagging.length === 0) return
      } catch {
      } finally {
        await admin.close()
      }
      if (performance.now() > deadline) throw new Error(`the cluster is not whole:\n${this.#tail(1)}`)
      await sleep(200)
    }
  }

  /** After whatever a test has done to it: every node runs, and the cluster is whole. */
  async mend(): Promise<void> {
    for (const node of this.nodes) {
      this.resume(node)
      const child = this.#nodes.get(node)
      if (child === undefined || hasEnded(child)) await this.start(node)
    }
    await this.whenWhole()
  }

  admin(): Admin {
    return new Admin({ clientId: 'test', bootstrapBrokers: this.brokers, retries: 2, retryDelay: 200, timeout: 3000 })
  }

  async #startFronts(): Promise<void> {
    for (const { iam, behindIam } of this.#ports) {
      this.#fronts.push(
        await startIamFront({
          directory: this.directory,
          port: iam,
          upstreamPort: behindIam,
          region: IAM_REGION,
          sessionMs: IAM_SESSION_MS,
          signIns: this.signIns,
          authorize: this.#authorize,
        }),
      )
    }
  }

  async stop(): Promise<void> {
    for (const front of this.#fronts) front.stop()
    for (const node of this.nodes) this.resume(node)
    await Promise.all(this.nodes.map((node) => this.kill(node)))
    rmSync(this.directory, { recursive: true, force: true })
  }

  get #classpath(): string[] {
    return ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', join(this.#jars, '*')]
  }

  #portsOf(node: number): Ports {
    const ports = this.#ports[node - 1]
    if (ports === undefined) throw new Error(`there is no node ${node}`)
    return ports
  }

  #tail(node: number): string {
    const path = join(this.directory, `${node}.log`)
    return existsSync(path) ? readFileSync(path, 'utf8').slice(-3000) : '(it printed nothing)'
  }

  #format(node: number): void {
    const data = join(this.directory, `data-${node}`)
    mkdirSync(data)
    const properties = join(this.directory, `${node}.properties`)
    writeFileSync(properties, this.#properties(node, data))
    const user = `SCRAM-SHA-512=[name="${SCRAM_USER}",password="${SCRAM_PASSWORD}"]`
    const scram = this.#secure ? ['--add-scram', user] : []
    execFileSync(
      'java',
      [...this.#classpath, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', properties, ...scram],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
  }

  #properties(node: number, data: string): string {
    const copies = Math.min(3, this.nodes.length)
    const { plain, controller, scram, mtls, iam, behindIam } = this.#portsOf(node)
    const listeners = [
      `PLAINTEXT://127.0.0.1:${plain}`,
      ...(this.#secure ? [`SCRAM://127.0.0.1:${scram}`, `MTLS://127.0.0.1:${mtls}`] : []),
    ]
    const [behind, front] = this.#secure ? [`IAM://127.0.0.1:${behindIam}`, `IAM://127.0.0.1:${iam}`] : []
    const lines = {
      'process.roles': 'broker,controller',
      'node.id': node,
      'controller.quorum.voters': this.#ports.map((ports, at) => `${at + 1}@127.0.0.1:${ports.controller}`).join(),
      listeners: [...listeners, behind ?? [], `CONTROLLER://127.0.0.1:${controller}`].flat().join(),
      'advertised.listeners': [...listeners, front ?? []].flat().join(),
      'listener.security.protocol.map':
        'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MTLS:SSL,IAM:PLAINTEXT',
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'PLAINTEXT',
      'log.dirs': data,
      'default.replication.factor': copies,
      'min.insync.replicas': Math.min(2, copies),
      'offsets.topic.replication.factor': copies,
      // Made when the first group appears, which waits for it.
      'offsets.topic.num.partitions': 3,
      'auto.create.topics.enable': false,
      // A test's group has all its members in a moment.
      'group.initial.rebalance.delay.ms': 0,
      'group.min.session.timeout.ms': 1000,
      // Faults are noticed in seconds, so that a test sees many of them.
      'broker.session.timeout.ms': 3000,
      'broker.heartbeat.interval.ms': 500,
      'replica.lag.time.max.ms': 3000,
      'controller.quorum.election.timeout.ms': 1000,
      'controller.quorum.fetch.timeout.ms': 2000,
      ...(this.#secure && {
        'listener.name.scram.sasl.enabled.mechanisms': 'SCRAM-SHA-512',
        'listener.name.scram.scram-sha-512.sasl.jaas.config':
          'org.apache.kafka.common.security.scram.ScramLoginModule required;',
        // Signed in anew while connections are open.
        'connections.max.reauth.ms': 10_000,
        'listener.name.mtls.ssl.client.auth': 'required',
        'ssl.keystore.type': 'PKCS12',
        'ssl.keystore.location': join(this.directory, 'server.p12'),
        'ssl.keystore.password': STORE_PASSWORD,
        'ssl.truststore.type': 'PEM',
        'ssl.truststore.location': join(this.directory, 'ca.pem'),
      }),
    }
    return Object.entries(lines)
      .map(([name, value]) => `${name}=${value}\n`)
      .join('')
  }
}

/** An authority, and certificates of it for the brokers and for a client. */
function makeCertificates(directory: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=Millrace tests')
  for (const [name, extension] of [
    ['server', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
    ['client', 'extendedKeyUsage=clientAuth'],
  ]) {
    openssl(
      ...['req', '-x509', ...key, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'basicConstraints=CA:FALSE'],
      ...['-addext', extension ?? '', '-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/CN=${name}`],
    )
  }
  const store = ['-inkey', 'server.key', '-in', 'server.pem', '-passout', `pass:${STORE_PASSWORD}`]
  openssl('pkcs12', '-export', ...store, '-out', 'server.p12')
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
