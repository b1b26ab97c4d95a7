/** The OpenAPI document and its page, `/openapi.json` and `/docs`. Made on first request, to keep the start fast. */
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'

export interface DocsOptions {
  readonly version: string
  /** Whether requests need an API key. */
  readonly needsKey: boolean
}

export function docsRoutes(app: FastifyInstance, options: DocsOptions): void {
  let docs: Promise<FastifyInstance> | undefined
  const serve = async (request: FastifyRequest, reply: FastifyReply) => {
    docs ??= createDocs(options)
    const { method, url, headers } = request
    const answer = await (await docs).inject({ method: method as 'GET', url, headers })
    if (answer.statusCode === 404) return reply.callNotFound()
    // Headers of the connection come from the public server, not from the inner one.
    const { connection, date, 'content-length': length, ...passedOn } = answer.headers
    return reply.code(answer.statusCode).headers(passedOn).send(answer.rawPayload)
  }
  for (const url of ['/openapi.json', '/docs', '/docs/*']) app.get(url, serve)
}

/** An app that never listens: {@link docsRoutes} injects requests into it. */
async function createDocs({ version, needsKey }: DocsOptions): Promise<FastifyInstance> {
  const [{ default: swagger }, { default: swaggerUi }, { HEAD_AND_OPTIONS, ROUTES, SHARED }] = await Promise.all([
    import('@fastify/swagger'),
    import('@fastify/swagger-ui'),
    import('./documented-routes.ts'),
  ])
  const app = fastify()
  await app.register(swagger, {
    exposeHeadRoutes: true,
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
  for (const schema of SHARED) app.addSchema(schema)
  // Answered here is the document alone; the others are for what it says.
  const handler = () => app.swagger()
  for (const { method, url, schema } of [...ROUTES, ...HEAD_AND_OPTIONS]) {
    app.route({ method, url, schema, handler, exposeHeadRoute: false })
  }
  await app.ready()
  return app
}
