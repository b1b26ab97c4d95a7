/**
 * 404 for a path that nothing is at; 405 with `Allow` for one that takes other methods (RFC 9110, section 15.5.6).
 * OPTIONS is answered for every path that takes anything, and for `*`, the listener as a whole (section 9.3.7).
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../errors.ts'

/**
 * To be called before any route is added.
 * @param see where the reader finds what there is.
 */
export function answerUnknownRoutes(app: FastifyInstance, see: string): void {
  const routes: { readonly path: RegExp; readonly methods: readonly string[] }[] = []
  app.addHook('onRoute', ({ url, method }) => {
    const path = url
      .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replace(/:[^/]+/g, '[^/]+')
      .replace('*', '.*')
    routes.push({ path: new RegExp(`^${path}$`), methods: [method].flat() })
  })
  const methodsAt = (path: string): string[] => {
    const found = routes.filter((route) => path === '*' || route.path.test(path)).flatMap(({ methods }) => methods)
    return found.length === 0 ? [] : [...new Set([...found, 'OPTIONS'])].sort()
  }
  const refusal = ({ method, url }: FastifyRequest, reply: FastifyReply): MillraceError => {
    const allowed = methodsAt(pathOf(url))
    if (allowed.length === 0 || allowed.includes(method)) {
      return new MillraceError('NOT_FOUND', `no ${method} ${url}: see ${see} for what there is`)
    }
    const methods = allowed.join(', ')
    reply.header('allow', methods)
    return new MillraceError('METHOD_NOT_ALLOWED', `no ${method} ${url}: use ${methods}`)
  }
  // Before the type of the body is looked at: that is not what is wrong.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) return done()
    const allowed = request.method === 'OPTIONS' ? methodsAt(pathOf(request.url)) : []
    if (allowed.length === 0) return done(refusal(request, reply))
    reply.code(204).header('allow', allowed.join(', ')).send()
  })
  // For a route that finds nothing to serve.
  app.setNotFoundHandler((request, reply) => {
    throw refusal(request, reply)
  })
}

/** As the router reads it: of a target in absolute form, without the host. */
function pathOf(url: string): string {
  const [path = ''] = url.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/)
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
