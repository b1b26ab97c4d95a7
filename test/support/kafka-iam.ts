/**
 * What Amazon MSK does in front of its brokers when clients sign in with IAM: TLS, SASL OAUTHBEARER with a signed
 * request as the token, and a session that ends. Behind it are the real brokers; everything else passes through.
 *
 * Byte layouts: https://kafka.apache.org/protocol, SaslHandshake (17) and SaslAuthenticate (36).
 */
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer, type TLSSocket } from 'node:tls'

const API_VERSIONS = 18
const SASL_HANDSHAKE = 17
const SASL_AUTHENTICATE = 36
const SASL_AUTHENTICATION_FAILED = 58
const FLEXIBLE_FROM = 2

export interface SignIns {
  /** How often somebody signed in, first or again. */
  count: number
  /** Signed requests that were not as MSK wants them, and requests that the policies of the role do not allow. */
  readonly refused: string[]
}

/** Why the role with that access key may not send a request of that kind, or undefined. */
export type Authorize = (accessKeyId: string, api: number) => Promise<string | undefined>

/** Listens on `port` for clients and passes them on to a broker's listener on `upstreamPort`. */
export async function startIamFront(options: {
  readonly directory: string
  readonly port: number
  readonly upstreamPort: number
  readonly region: string
  readonly sessionMs: number
  readonly signIns: SignIns
  /** Without it, whoever has signed in may do everything. */
  readonly authorize?: Authorize | undefined
}): Promise<{ stop(): void }> {
  const { directory, port, upstreamPort, region, sessionMs, signIns, authorize } = options
  const sockets = new Set<Socket>()
  const server = createServer(
    { key: readFileSync(join(directory, 'server.key')), cert: readFileSync(join(directory, 'server.pem')) },
    (client) => {
      const upstream = connect(upstreamPort, '127.0.0.1')
      for (const socket of [client, upstream]) {
        sockets.add(socket)
        socket.on('error', () => client.destroy()).on('close', () => [client, upstream].map((each) => each.destroy()))
      }
      upstream.pipe(client)
      let accessKeyId: string | undefined
      onFrames(client, async (frame) => {
        const api = frame.readInt16BE(4)
        if (api === SASL_HANDSHAKE) return void client.write(handshake(frame))
        if (api === SASL_AUTHENTICATE) {
          const signed = readToken(tokenIn(frame), region)
          const problem = 'problem' in signed ? signed.problem : await authorize?.(signed.accessKeyId, api)
          if (problem === undefined) signIns.count += 1
          else signIns.refused.push(problem)
          if (problem === undefined && 'accessKeyId' in signed) accessKeyId = signed.accessKeyId
          return void client.write(authenticated(frame, problem, sessionMs))
        }
        if (api === API_VERSIONS) return void upstream.write(frame)
        const problem = accessKeyId === undefined ? 'not signed in' : await authorize?.(accessKeyId, api)
        if (problem === undefined) return void upstream.write(frame)
        signIns.refused.push(problem)
        client.destroy()
      })
    },
  )
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  return {
    stop: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** What ECS offers inside a task: credentials of its role. */
export async function startTaskRole({
  accessKeyId = 'AKIDOFTHETASK',
  secretAccessKey = 'secret-of-the-task',
  sessionToken = 'token',
} = {}): Promise<{ environment: Record<string, string>; stop(): void }> {
  const server = createHttpServer((_, response) => {
    const Expiration = new Date(Date.now() + 3_600_000).toISOString()
    const credentials = {
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
      Expiration,
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(credentials))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    environment: { AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/role` },
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** A request: its length, then what is in it. One after the other. */
function onFrames(socket: TLSSocket, take: (frame: Buffer) => Promise<void>): void {
  let buffered = Buffer.alloc(0)
  let taken = Promise.resolve()
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk])
    while (buffered.length >= 4 && buffered.length >= 4 + buffered.readInt32BE(0)) {
      const end = 4 + buffered.readInt32BE(0)
      const frame = buffered.subarray(0, end)
      taken = taken.then(() => take(frame))
      buffered = buffered.subarray(end)
    }
  })
}

function answer(frame: Buffer, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat([frame.subarray(8, 12), ...parts]) // the correlation id first
  return Buffer.concat([int32(body.length), body])
}

function handshake(frame: Buffer): Buffer {
  const mechanism = Buffer.from('OAUTHBEARER')
  return answer(frame, int16(0), int32(1), int16(mechanism.length), mechanism)
}

function authenticated(frame: Buffer, problem: string | undefined, sessionMs: number): Buffer {
  const version = frame.readInt16BE(6)
  const code = int16(problem === undefined ? 0 : SASL_AUTHENTICATION_FAILED)
  const lifetime = Buffer.alloc(8)
  lifetime.writeBigInt64BE(BigInt(sessionMs))
  const none = Buffer.from([0])
  if (version >= FLEXIBLE_FROM) return answer(frame, none, code, none, Buffer.from([1]), lifetime, none)
  return answer(frame, code, int16(-1), int32(0), version === 0 ? Buffer.alloc(0) : lifetime)
}

function tokenIn(frame: Buffer): string {
  return /auth=Bearer ([\w-]+)/.exec(frame.toString('latin1'))?.[1] ?? ''
}

/** Whose token it is, or what is wrong with it: https://github.com/aws/aws-msk-iam-auth describes what a right one is. */
function readToken(token: string, region: string): { readonly accessKeyId: string } | { readonly problem: string } {
  const url = URL.parse(Buffer.from(token, 'base64url').toString())
  const problem = url === null ? 'the token is no signed request' : problemOf(url, region)
  if (url === null || problem !== undefined) return { problem: problem ?? '' }
  return { accessKeyId: (url.searchParams.get('X-Amz-Credential') ?? '').split('/')[0] ?? '' }
}

function problemOf(url: URL, region: string): string | undefined {
  const query = (name: string) => url.searchParams.get(name) ?? ''
  if (url.hostname !== `kafka.${region}.amazonaws.com`) return `signed for ${url.hostname}`
  if (query('Action') !== 'kafka-cluster:Connect') return `signed for the action ${query('Action')}`
  if (!/^(AKID|ASIA|LSIA)\w+\//.test(query('X-Amz-Credential'))) return 'signed by nobody'
  if (!/^[\da-f]{64}$/.test(query('X-Amz-Signature'))) return 'not signed'
  if (Number(query('X-Amz-Expires')) > 900) return 'valid for longer than 15 minutes'
  return undefined
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
