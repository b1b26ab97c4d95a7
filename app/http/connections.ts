/** Connections of the public listener: their limit, and how they end at shutdown. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { LinkedList } from './linked-list.ts'

/** File descriptors reserved for everything else: log, dead letters, sinks, the admin listener. */
const RESERVED_FILES = 128
/** Time for requests in progress at shutdown. A request that is incomplete by then was never acknowledged. */
const LAST_REQUESTS_MS = 5000

/**
 * Without this limit, clients that hold connections open could take the last file descriptor from the log.
 * @param filesOfSinks connections that sinks may have open.
 * @param servers how many servers, one in each thread, share the remaining file descriptors.
 */
export function limitConnections(app: FastifyInstance, filesOfSinks: number, servers: number): void {
  const { server } = app
  const maxFiles = readMaxFiles()
  if (maxFiles !== undefined) {
    server.maxConnections = Math.max(1, Math.floor((maxFiles - RESERVED_FILES - filesOfSinks) / servers))
  }

  const open = new LinkedList<Socket>()
  const add = (socket: Socket) => {
    const entry = open.add(socket)
    socket.once('close', () => open.remove(entry))
  }
  server.on('connection', add)
  server.on('secureConnection', add) // the TLS socket: it counts only decrypted bytes, those of requests
  app.addHook('preClose', (done) => {
    // Node closes connections that are idle between two requests. It would wait for connections that never sent a byte,
    // such as the spare connections of a load balancer.
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
    const timer = setTimeout(() => server.closeAllConnections(), LAST_REQUESTS_MS)
    server.once('close', () => clearTimeout(timer))
    done()
  })
}

/** How many files this process may open; undefined if there is no limit, or it cannot be read. */
function readMaxFiles(): number | undefined {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === undefined ? undefined : Number(limit)
  } catch {
    return undefined // not Linux
  }
}
