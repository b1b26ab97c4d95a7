/**
 * 404 for an unknown path. 405 with `Allow` for a path that has other methods (RFC 9110, section 15.5.6). OPTIONS is
 * answered for every known path and for `*`, the listener as a whole (section 9.3.7).
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../errors.ts'

/**
 * Call this before any route is added.
 * @param see the path where a reader finds the list of routes.
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
  // Before the content type is checked: the method is what is wrong.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) return done()
    const allowed = request.method === 'OPTIONS' ? methodsAt(pathOf(request.url)) : []
    if (allowed.length === 0) return done(refusal(request, reply))
    reply.code(204).header('allow', allowed.join(', ')).send()
  })
  // For a route that has nothing to serve.
  app.setNotFoundHandler((request, reply) => {
    throw refusal(request, reply)
  })
}

/** The path as the router sees it. A target in absolute form loses its host. */
function pathOf(url: string): string {
  const [path = ''] = url.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/)
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
