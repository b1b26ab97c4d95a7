/**
 * A gate in front of the emulated AWS, which itself allows everything. It evaluates each call for the role whose
 * session key signed it: with the policies, the permission boundary and the resource policies of the emulated account.
 *
 *     terraform, SDK ─▶ gate ─▶ emulated AWS        403 with the message and format of AWS if a policy does not allow it
 *
 * The key of the administrator may do everything. The trust policy of a role decides who may assume it. Not evaluated:
 * signatures, session policies, and permissions of services that call each other.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Account, callsOf, UNNAMED } from './calls.ts'
import { type Call, type Decision, decide, type Policies, type PolicyDocument, statements } from './evaluate.ts'
import { kafkaActionsOf } from './kafka-actions.ts'
import { type HttpCall, type Operation, Operations } from './operations.ts'

/** One action of a call that a role made. */
export interface Judged {
  /** Name of the role. */
  readonly role: string
  /** Such as `s3:ListObjectsV2`. */
  readonly operation: string
  readonly call: Call
  readonly policies: Policies
  readonly decision: Decision
}

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
}

interface Role {
  readonly arn: string
  readonly trust: PolicyDocument
  readonly identity: readonly PolicyDocument[]
  readonly boundaryArn: string | null
  readonly boundary: PolicyDocument | null
}

/** The provider asks this first, to know its account. It goes on without an answer: roles are no users. */
const PROBE = 'iam:GetUser'

export class Gate {
  readonly url: string
  /** In the order of the calls. */
  readonly judged: Judged[] = []
  /** Calls whose request says too little to judge them: a fault of the gate, never of the caller. */
  readonly failures: string[] = []
  readonly #accountId: string
  readonly #upstream: string
  readonly #administrator: string
  readonly #operations: Operations
  /** Session key → role's name. */
  readonly #sessions = new Map<string, string>()
  readonly #known = new Map<string, Promise<unknown>>()
  readonly #close: () => Promise<void>

  private constructor(url: string, options: GateOptions, close: () => Promise<void>) {
    this.url = url
    this.#accountId = options.accountId
    this.#upstream = options.upstream
    this.#administrator = options.administrator
    this.#operations = new Operations(options.python)
    this.#close = close
  }

  static async start(options: GateOptions): Promise<Gate> {
    const server = createServer()
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const { port } = server.address() as AddressInfo
    const gate = new Gate(`http://127.0.0.1:${port}`, options, async () => {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    })
    server.on('request', async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const { method = '', url = '', headers } = request
      await gate.#answer({ method, url, headers, body: Buffer.concat(chunks) }, headers, response)
    })
    return gate
  }

  /** What was refused so far, a line each. */
  get denials(): string[] {
    return this.judged
      .filter(({ decision, operation }) => !decision.allowed && operation !== PROBE)
      .map(({ role, call }) => `${role}: ${call.action} on ${call.resource}`)
  }

  /** Hands a role to a task as ECS does: only one that trusts tasks of this account. */
  async taskCredentials(role: string): Promise<Credentials> {
    const trust = statements((await this.#role(role))?.trust ?? { Statement: [] })
    const call = { action: 'sts:AssumeRole', resource: '*', context: { 'aws:SourceAccount': this.#accountId } }
    const trusts = trust.some(
      ({ Principal, ...statement }) =>
        typeof Principal === 'object' &&
        [Principal.Service].flat().includes('ecs-tasks.amazonaws.com') &&
        decide(call, { principalArn: '', identity: [{ Statement: { ...statement, Resource: '*' } }] }).allowed,
    )
    if (!trusts) throw new Error(`${role} does not trust the tasks of this account`)
    const accessKeyId = `AKIDTASK${this.#sessions.size}`
    this.#sessions.set(accessKeyId, role)
    return { accessKeyId, secretAccessKey: 'of a task', sessionToken: 'of a task' }
  }

  /**
   * Whether the role may send such a request to the brokers of a test, which stand for the cluster `cluster`.
   * @param names names of the only topic and group of the test.
   */
  authorizeKafka(cluster: string, names: { readonly topic: string; readonly group: string }) {
    return async (accessKeyId: string, api: number): Promise<string | undefined> => {
      const role = this.#sessions.get(accessKeyId)
      if (role === undefined) return `nobody has the access key ${accessKeyId}`
      const { arn, identity, boundary } = (await this.#role(role)) as Role
      for (const [action, on] of kafkaActionsOf(api)) {
        const prefix = cluster.replace(':cluster/', `:${on}/`)
        const call: Call = {
          action: `kafka-cluster:${action}`,
          resource: on === 'cluster' ? cluster : `${prefix}/${names[on]}`,
          context: {},
        }
        const policies = { principalArn: arn, identity, ...(boundary && { boundary }) }
        const decision = decide(call, policies)
        this.judged.push({ role, operation: `Kafka request ${api}`, call, policies, decision })
        if (!decision.allowed) return `${role}: ${call.action} on ${call.resource} ${decision.because}`
      }
      return undefined
    }
  }

  async stop(): Promise<void> {
    await this.#close()
  }

  async #answer(call: HttpCall, headers: IncomingHttpHeaders, response: ServerResponse): Promise<void> {
    let operation: Operation | undefined
    let refused: string | undefined
    try {
      operation = this.#operations.parse(call)
      refused = await this.#judge(operation)
    } catch (error) {
      refused = `the gate cannot judge ${call.method} ${call.url}: ${(error as Error).message}`
      this.failures.push(refused)
    }
    if (refused !== undefined) return deny(operation, refused, response)
    const answer = await forward(`${this.#upstream}${call.url}`, call, headers)
    if (operation?.prefix === 'iam' && !/^(Get|List)/.test(operation.name)) this.#known.clear()
    if (operation) this.#noteSession(operation, answer.body.toString())
    response.writeHead(answer.status, answer.headers).end(answer.body)
  }

  /** Why it is not allowed, or undefined. */
  async #judge(operation: Operation): Promise<string | undefined> {
    const { accessKeyId, name, parameters, region } = operation
    if (name === 'AssumeRoleWithWebIdentity') return this.#judgeTrust(operation)
    if (accessKeyId === this.#administrator) return undefined
    const role = accessKeyId === undefined ? undefined : this.#sessions.get(accessKeyId)
    if (role === undefined) return 'The security token included in the request is invalid.'
    if (name === 'GetCallerIdentity') return undefined // needs no permission
    const found = (await this.#role(role)) as Role
    for (const one of await callsOf(operation, this.#account)) {
      const policies = await this.#policiesFor(one, found, parameters, region)
      requireNamed(one, policies)
      const decision = decide(one, policies)
      this.judged.push({ role, operation: `${operation.prefix}:${name}`, call: one, policies, decision })
      if (decision.allowed) continue
      const session = `arn:aws:sts::${this.#accountId}:assumed-role/${role}/session`
      return `User: ${session} is not authorized to perform: ${one.action} on resource: ${one.resource} ${decision.because}`
    }
    return undefined
  }

  async #policiesFor(
    { action, resource }: Call,
    { arn, identity, boundary }: Role,
    { Bucket, Policy }: Operation['parameters'],
    region: string,
  ): Promise<Policies> {
    const own = { principalArn: arn, identity, ...(boundary && { boundary }) }
    if (action === 'kms:TagResource' && typeof Policy === 'string') {
      // A key that is made with tags: the policy that it will have counts already.
      return { ...own, resource: JSON.parse(Policy), mustTrustAccount: true }
    }
    if (action.startsWith('kms:') && resource !== '*') {
      const key = await this.#account.key(resource, region)
      return key ? { ...own, resource: key.policy, mustTrustAccount: true } : own
    }
    if (action.startsWith('s3:') && Bucket !== undefined) {
      const bucket = await this.#ask<{ policy: PolicyDocument | null }>('bucket', String(Bucket), region)
      return bucket?.policy ? { ...own, resource: bucket.policy } : own
    }
    return own
  }

  /** Whether the token may take on the role: its claims are the condition keys of the trust policy. */
  async #judgeTrust({ parameters }: Operation): Promise<string | undefined> {
    const name = String(parameters.RoleArn).split('/').at(-1) ?? ''
    const role = await this.#role(name)
    const [, payload = ''] = String(parameters.WebIdentityToken).split('.')
    const claims: Record<string, string> = JSON.parse(Buffer.from(payload, 'base64url').toString())
    const issuer = String(claims.iss).replace('https://', '')
    const context = Object.fromEntries(Object.entries(claims).map(([claim, value]) => [`${issuer}:${claim}`, value]))
    const provider = `arn:aws:iam::${this.#accountId}:oidc-provider/${issuer}`
    const trusts = statements(role?.trust ?? { Statement: [] }).some(
      ({ Principal, ...statement }) =>
        typeof Principal === 'object' &&
        [Principal.Federated].flat().includes(provider) &&
        decide(
          { action: 'sts:AssumeRoleWithWebIdentity', resource: '*', context },
          { principalArn: provider, identity: [{ Statement: { ...statement, Resource: '*' } }] },
        ).allowed,
    )
    return trusts ? undefined : 'Not authorized to perform sts:AssumeRoleWithWebIdentity'
  }

  #noteSession({ name, parameters }: Operation, answer: string): void {
    if (!name.startsWith('AssumeRole')) return
    const [, key] = /<AccessKeyId>([^<]+)</.exec(answer) ?? []
    if (key !== undefined) this.#sessions.set(key, String(parameters.RoleArn).split('/').at(-1) ?? '')
  }

  #role(name: string): Promise<Role | undefined> {
    const known = this.#known.get(name) ?? this.#ask('role', name, 'us-east-1')
    this.#known.set(name, known)
    return known as Promise<Role | undefined>
  }

  get #account(): Account {
    return {
      id: this.#accountId,
      role: (name) => this.#role(name),
      bucket: (name) => this.#ask('bucket', name, 'us-east-1'),
      key: (id, region) => this.#ask('key', id, region),
      secret: (id, region) => this.#ask('secret', id, region),
      tags: (id, region) => this.#ask('tags', id, region),
    }
  }

  async #ask<T>(kind: string, name: string, region: string): Promise<T | undefined> {
    const answer = await fetch(`${this.#upstream}/_permissions/${kind}/${encodeURIComponent(name)}?region=${region}`)
    return answer.ok ? ((await answer.json()) as T) : undefined
  }
}

export interface GateOptions {
  /** Of the emulated AWS. */
  readonly accountId: string
  /** URL of the emulated AWS. */
  readonly upstream: string
  /** Access key that may do everything. */
  readonly administrator: string
  /** One with botocore. */
  readonly python: string
}

/** @throws Error where a statement names resources for an action whose resource is not worked out. */
function requireNamed(call: Call, { identity, boundary }: Policies): void {
  if (call.resource !== UNNAMED) return
  for (const document of [...identity, ...(boundary ? [boundary] : [])]) {
    for (const statement of statements(document)) {
      const isNarrow = [statement.Resource ?? '*'].flat().join() !== '*' || statement.NotResource !== undefined
      if (!isNarrow) continue
      const asked = { ...statement, Effect: 'Allow' as const, Resource: '*' }
      const { NotResource: _, ...broad } = asked
      const matches = decide(call, { principalArn: '', identity: [{ Statement: broad }] }).allowed
      if (matches) throw new Error(`which resource ${call.action} is about must be worked out in calls.ts`)
    }
  }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

function forward(url: string, { method, body }: HttpCall, headers: IncomingHttpHeaders): Promise<Answer> {
  return new Promise((done, fail) => {
    const { 'transfer-encoding': _, ...kept } = headers
    const request = send(url, { method, headers: { ...kept, 'content-length': body.length } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () =>
        done({ status: response.statusCode ?? 500, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
    request.on('error', fail)
    request.end(body)
  })
}

/** As the protocol of the service has it. */
function deny(operation: Operation | undefined, message: string, response: ServerResponse): void {
  const xml = (body: string) => response.writeHead(403, { 'content-type': 'text/xml' }).end(body)
  const text = message.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  switch (operation?.protocol) {
    case 'ec2':
      return void xml(
        `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>${text}</Message></Error></Errors></Response>`,
      )
    case 'query':
      return void xml(
        `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>${text}</Message></Error></ErrorResponse>`,
      )
    case 'rest-xml':
      return void xml(`<Error><Code>AccessDenied</Code><Message>${text}</Message></Error>`)
    default: {
      const isRest = operation?.protocol === 'rest-json'
      const headers = { 'content-type': 'application/json', 'x-amzn-errortype': 'AccessDeniedException' }
      response.writeHead(isRest ? 403 : 400, headers)
      response.end(JSON.stringify({ __type: 'AccessDeniedException', message, Message: message }))
    }
  }
}
