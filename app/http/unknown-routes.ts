/** 404 for a path that nothing is at; 405 with `Allow` for one that takes other methods (RFC 9110, section 15.5.6). */
import type { FastifyInstance } from 'fastify'
import { MillraceError } from '../errors.ts'
import { sendProblem } from './problem.ts'

/**
 * To be called before any route is added.
 * @param see where the reader finds what there is.
 */
export function answerUnknownRoutes(app: FastifyInstance, see: string): void {
  const routes: { readonly path: RegExp; readonly methods: readonly string[] }[] = []
  app.addHook('onRoute', ({ url, method }) => {
    const path = url.replace(/:[^/]+/g, '[^/]+').replace('*', '.*')
    routes.push({ path: new RegExp(`^${path}$`), methods: [method].flat() })
  })
  app.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?')
    const allowed = new Set(routes.filter((route) => route.path.test(path)).flatMap(({ methods }) => methods))
    const asked = `${request.method} ${request.url}`
    // A route that takes the method may have found nothing there.
    if (allowed.size === 0 || allowed.has(request.method)) {
      return sendProblem(new MillraceError('NOT_FOUND', `no ${asked}: see ${see} for what there is`), request, reply)
    }
    const methods = [...allowed].sort().join(', ')
    reply.header('allow', methods)
    return sendProblem(new MillraceError('METHOD_NOT_ALLOWED', `no ${asked}: use ${methods}`), request, reply)
  })
}
