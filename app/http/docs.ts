/**
 * The OpenAPI document and its page, `/openapi.json` and `/docs`, made when somebody first asks for them: a start does not
 * wait for it. Routes say what they take and give in their `schema`, which is for readers only. It is taken off before
 * Fastify would compile it, as events are judged one by one with a reason each and answers are made from few parts.
 */
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify, type RouteOptions } from 'fastify'
import type { TSchema } from 'typebox'

export type Documented = Pick<RouteOptions, 'method' | 'url' | 'schema'>

export interface DocsOptions {
  readonly version: string
  /** Whether requests need an API key. */
  readonly needsKey: boolean
  /** Schemas that others refer to by their `$id`. */
  readonly shared: readonly TSchema[]
}

/** Takes their schemas off the routes that are added from now on. @returns what they said, as it comes. */
export function takeSchemas(app: FastifyInstance): readonly Documented[] {
  const documented: Documented[] = []
  app.addHook('onRoute', (route) => {
    const { method, url, schema } = route
    if (schema === undefined) return
    delete route.schema
    if (method !== 'HEAD') documented.push({ method, url, schema })
  })
  return documented
}

/** @param documented may grow until the first request. */
export function docsRoutes(app: FastifyInstance, documented: readonly Documented[], options: DocsOptions): void {
  let docs: Promise<FastifyInstance> | undefined
  const serve = async (request: FastifyRequest, reply: FastifyReply) => {
    docs ??= createDocs(documented, options)
    const { method, url, headers } = request
    const answer = await (await docs).inject({ method: method as 'GET', url, headers })
    // Those of the connection are this server's own.
    const { connection, date, 'content-length': length, ...passedOn } = answer.headers
    return reply.code(answer.statusCode).headers(passedOn).send(answer.rawPayload)
  }
  for (const url of ['/openapi.json', '/docs', '/docs/*']) app.get(url, serve)
}

/** Never listens: it is asked by {@link docsRoutes}. */
async function createDocs(
  documented: readonly Documented[],
  { version, needsKey, shared }: DocsOptions,
): Promise<FastifyInstance> {
  const [{ default: swagger }, { default: swaggerUi }] = await Promise.all([
    import('@fastify/swagger'),
    import('@fastify/swagger-ui'),
  ])
  const app = fastify()
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Millrace',
        version,
        description: 'Events in over HTTP, durable when answered, delivered at least once.',
      },
      components: { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } },
      ...(needsKey && { security: [{ apiKey: [] }] }),
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, at) => String(json.$id ?? `schema-${at}`) },
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  for (const schema of shared) app.addSchema(schema)
  for (const route of documented) app.route({ ...route, handler: () => undefined })
  await app.ready()
  return app
}
