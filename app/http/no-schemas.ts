/**
 * For listeners whose routes have no schemas. Fastify's schema compilers, with Ajv, take a twentieth of a start, so
 * they are not loaded. Bodies are checked event by event (body.ts). An app of docs.ts makes the OpenAPI document.
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
