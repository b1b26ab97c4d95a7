/**
 * For listeners none of whose routes has a schema: Fastify's compilers of schemas, with Ajv, are a twentieth of a start and are not
 * loaded. Bodies are judged event by event (body.ts), and the OpenAPI document is made by an app of its own (docs.ts).
 */
import type { FastifyServerOptions } from 'fastify'

function refuse(): never {
  throw new Error(
    'this listener compiles no schemas: check the values in the route, or take app/http/no-schemas.ts away',
  )
}

export const NO_SCHEMAS: NonNullable<FastifyServerOptions['schemaController']> = {
  compilersFactory: { buildValidator: refuse, buildSerializer: refuse },
}
