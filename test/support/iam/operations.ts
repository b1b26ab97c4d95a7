/**
 * Which operation of which service of AWS an HTTP request is, and with what parameters: read from the API models that AWS
 * publishes, as botocore carries them. Moto needs botocore, so they are on each machine that has the emulated AWS.
 * https://smithy.io/2.0/aws/protocols/
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

export interface HttpCall {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: Buffer
}

export interface Operation {
  /** As in the policies of IAM: `elasticloadbalancing`. */
  readonly prefix: string
  readonly region: string
  readonly name: string
  /** By their name in the model, whatever part of the request they were in; those of a form as `Tags.member.1.Key`. */
  readonly parameters: Readonly<Record<string, unknown>>
  /** Access key that signed it; undefined: not signed. */
  readonly accessKeyId: string | undefined
  readonly protocol: 'json' | 'query' | 'ec2' | 'rest-json' | 'rest-xml' | 'cbor'
}

/** A service: the name its requests are signed for → its models. Several share one name. */
const MODELS: Readonly<Record<string, readonly string[]>> = {
  acm: ['acm'],
  'application-autoscaling': ['application-autoscaling'],
  aps: ['amp'],
  budgets: ['budgets'],
  ec2: ['ec2'],
  ecr: ['ecr'],
  ecs: ['ecs'],
  elasticfilesystem: ['efs'],
  elasticloadbalancing: ['elbv2'],
  grafana: ['grafana'],
  iam: ['iam'],
  kafka: ['kafka'],
  kms: ['kms'],
  logs: ['logs'],
  monitoring: ['cloudwatch'],
  route53: ['route53'],
  s3: ['s3control', 's3'],
  secretsmanager: ['secretsmanager'],
  sns: ['sns'],
  ssm: ['ssm'],
  sts: ['sts'],
  wafv2: ['wafv2'],
}
/** Their bodies are XML, the others' JSON. */
const XML = new Set(['s3', 'route53'])
const PREFIXES: Readonly<Record<string, string>> = { monitoring: 'cloudwatch' }

interface Model {
  readonly operations: Readonly<
    Record<
      string,
      { name: string; http: { method: string; requestUri: string }; input?: { shape: string }; deprecated?: boolean }
    >
  >
  readonly shapes: Readonly<Record<string, { members?: Record<string, Member>; required?: string[] }>>
}

interface Member {
  readonly location?: string
  readonly locationName?: string
}

interface Route {
  readonly name: string
  readonly method: string
  readonly path: RegExp
  readonly labels: readonly string[]
  /** Names in the query that make it this operation. */
  readonly query: readonly string[]
  /** Headers that it cannot be without. */
  readonly headers: readonly string[]
  readonly members: Readonly<Record<string, Member>>
}

export class Operations {
  readonly #directory: string
  readonly #routes = new Map<string, readonly Route[]>()

  /** @param python one with botocore. */
  constructor(python: string) {
    const code = 'import botocore; print(botocore.__path__[0])'
    this.#directory = join(execFileSync(python, ['-c', code], { encoding: 'utf8' }).trim(), 'data')
  }

  /** @throws Error for a request that is of no operation known here. */
  parse(call: HttpCall): Operation {
    const { headers, body } = call
    const scope = /Credential=([^/,]+)\/\d+\/([^/]+)\/([^/]+)\/aws4_request/.exec(String(headers.authorization ?? ''))
    const [, accessKeyId, region = 'us-east-1', signedFor = 'sts'] = scope ?? []
    const known = { prefix: PREFIXES[signedFor] ?? signedFor, region, accessKeyId }
    const [, target] = String(headers['x-amz-target'] ?? '').split('.')
    if (target) return { ...known, name: target, protocol: 'json', parameters: json(body) }
    const [, rpc] = /^\/service\/\w+\/operation\/(\w+)/.exec(call.url) ?? []
    if (rpc !== undefined) return { ...known, name: rpc, protocol: 'cbor', parameters: {} }
    if (String(headers['content-type']).startsWith('application/x-www-form-urlencoded')) {
      const { Action: name = '', ...parameters } = Object.fromEntries(new URLSearchParams(body.toString()))
      return { ...known, name, parameters, protocol: signedFor === 'ec2' ? 'ec2' : 'query' }
    }
    return { ...known, ...this.#route(signedFor, call), protocol: XML.has(signedFor) ? 'rest-xml' : 'rest-json' }
  }

  /** The most particular of the operations that the path, the query and the headers fit. */
  #route(signedFor: string, { method, url, headers, body }: HttpCall): Pick<Operation, 'name' | 'parameters'> {
    const at = url.indexOf('?')
    const path = decodeURIComponent(at < 0 ? url : url.slice(0, at))
    const query = new URLSearchParams(at < 0 ? '' : url.slice(at))
    const fitting = this.#routesOf(signedFor).filter(
      (route) =>
        route.method === method &&
        route.path.test(path) &&
        route.query.every((name) => query.has(name)) &&
        route.headers.every((name) => headers[name] !== undefined),
    )
    const particular = (route: Route) => 10 * (route.query.length + route.headers.length) - route.labels.length
    const [route] = fitting.sort((one, other) => particular(other) - particular(one))
    if (route === undefined) throw new Error(`${signedFor}: ${method} ${url} is no operation that is known here`)
    const parameters: Record<string, unknown> = XML.has(signedFor) ? { body: body.toString() } : json(body)
    const found = route.path.exec(path) ?? []
    for (const [index, label] of route.labels.entries()) parameters[label] = found[index + 1]
    for (const [name, { location, locationName = name }] of Object.entries(route.members)) {
      const value = location === 'querystring' ? query.get(locationName) : headers[locationName.toLowerCase()]
      if (location !== undefined && location !== 'uri' && value) parameters[name] = value
    }
    return { name: route.name, parameters }
  }

  #routesOf(signedFor: string): readonly Route[] {
    const known = this.#routes.get(signedFor)
    if (known) return known
    const models = MODELS[signedFor]
    if (models === undefined) throw new Error(`requests signed for ${signedFor} are not judged here: add its model`)
    const routes = models.flatMap((name) => routesOf(this.#load(name)))
    this.#routes.set(signedFor, routes)
    return routes
  }

  #load(name: string): Model {
    const directory = join(this.#directory, name)
    const version =
      readdirSync(directory)
        .filter((entry) => /^\d{4}-/.test(entry))
        .sort()
        .at(-1) ?? ''
    const path = join(directory, version, 'service-2.json')
    return JSON.parse((existsSync(path) ? readFileSync(path) : gunzipSync(readFileSync(`${path}.gz`))).toString())
  }
}

function routesOf({ operations, shapes }: Model): Route[] {
  // Of two with the same path, one is no longer used.
  const current = Object.values(operations).filter(({ deprecated }) => deprecated !== true)
  return current.map(({ name, http, input }) => {
    const { members = {}, required = [] } = shapes[input?.shape ?? ''] ?? {}
    const [uri = '', flags = ''] = http.requestUri.split('?')
    const path = uri.length > 1 ? uri.replace(/\/$/, '') : uri // a slash at the end is optional
    const named = (location: string) =>
      required
        .filter((member) => members[member]?.location === location)
        .map((member) => members[member]?.locationName ?? member)
    const labels = [...path.matchAll(/\{(\w+)\+?\}/g)].map(([, label = '']) => label)
    const literal = path
      .replaceAll(/[.]/g, '\\$&')
      .replaceAll(/\{\w+\+\}/g, '(.+)')
      .replaceAll(/\{\w+\}/g, '([^]+?)')
    // What SDKs add for their own sake says nothing.
    const query = [...new URLSearchParams(flags).keys()].filter((key) => key !== 'x-id')
    return {
      name,
      method: http.method,
      path: new RegExp(
        `^${literal.replaceAll('([^]+?)', path.includes('arn') || /Arn\}/.test(path) ? '(.+?)' : '([^/]+)')}/?$`,
      ),
      labels,
      query: [...query, ...named('querystring')],
      headers: named('header').map((header) => header.toLowerCase()),
      members,
    }
  })
}

function json(body: Buffer): Record<string, unknown> {
  return body.length === 0 ? {} : JSON.parse(body.toString())
}
