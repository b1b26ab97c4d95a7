/** Connections of the public listener: how many there may be, and how they end with the service. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { LinkedList } from './linked-list.ts'

/** Files that everything else may open: log, dead letters, sinks, the admin listener. */
const RESERVED_FILES = 128
/** Time for requests that are begun when the service stops. What was not received whole by then was acknowledged to nobody. */
const LAST_REQUESTS_MS = 5000

/**
 * @param filesOfSinks connections that sinks may have open.
 * @param servers how many of them share what is left, each in a thread.
 * Without a limit of its own, clients that hold connections would take the last file from the log.
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
  server.on('secureConnection', add) // of TLS; its bytes are those of requests alone
  app.addHook('preClose', (done) => {
    // Node closes what is idle between two requests, and would wait for what has never sent a byte, such as the spare
    // connections of a load balancer.
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
    const timer = setTimeout(() => server.closeAllConnections(), LAST_REQUESTS_MS)
    server.once('close', () => clearTimeout(timer))
    done()
  })
}

/** How many files this process may open; undefined where there is no limit, or none that can be read. */
function readMaxFiles(): number | undefined {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === undefined ? undefined : Number(limit)
  } catch {
    return undefined // not Linux
  }
}
